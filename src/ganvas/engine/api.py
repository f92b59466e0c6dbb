"""Training from Python, and resuming: what the command line and notebooks share."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ganvas.engine.check import check_build, check_overrides, check_plain
from ganvas.engine.compose import suggest
from ganvas.engine.notices import plain_notices
from ganvas.errors import ConfigError, RunError

if TYPE_CHECKING:
    from ganvas.engine.runs import Run
    from ganvas.engine.train import Outcome
    from ganvas.evaluation.result import Result

RESUMABLE = ("trainer.max_epochs", "trainer.max_steps", "trainer.progress_bar", "logger.mode")
"""What a resumed run may change: how long it trains and how it is shown, not what it is."""


def train(overrides: Sequence[str] = (), *, config_dir: str | Path | None = None) -> Run:
    """Compose, check, train, record and test one run; the command `ganvas train` for notebooks.

    Args:
        overrides: as on the command line, e.g. `["model=vae", "loss.beta=4"]`.
        config_dir: a folder with more config groups.

    Returns:
        The finished run.

    Raises:
        ConfigError: if the config can't be run; nothing was written then.
        DataError: if the images can't be read.
        KeyboardInterrupt: if it was interrupted; its checkpoint is written.
        Exception: what stopped training, with the traceback in the run's `log.txt`.
    """
    from ganvas.engine.runs import load_run
    from ganvas.engine.train import train_checked

    overrides = [str(o) for o in overrides]
    with plain_notices():
        if resume := resume_target(overrides):
            outcome = resume_run(resume, overrides)
        else:
            checked = check_overrides(overrides, search=[config_dir] if config_dir else [])
            if checked.settings.check:
                raise ConfigError("check=true trains nothing; use it on the command line")
            outcome = train_checked(checked, overrides=overrides)
    if outcome.exit_code > 1:
        raise KeyboardInterrupt(outcome.reason)
    if outcome.error is not None:
        raise outcome.error
    return load_run(outcome.folder)


def evaluate(
    run: Run | str | Path,
    overrides: Sequence[str] = (),
    *,
    trust: Sequence[str] = (),
    config_dir: str | Path | None = None,
) -> list[Result]:
    """Measure a trained model and record the results; `ganvas evaluate` for notebooks.

    Args:
        run: the run, or its folder.
        overrides: as on the command line, e.g. `["metrics=[samples]", "num=1000"]`.
        trust: your own modules that the run's config, `features` or `metrics` may name.
        config_dir: a folder with more config groups.

    Returns:
        The results, as appended to the run's record; measures that do not fit are left out
        unless they were named.

    Raises:
        GanvasError: if the run, its checkpoint or its data can't be used, or a measure not taken.
    """
    from ganvas.engine.command import command_settings
    from ganvas.engine.evaluate import evaluate, names_measures
    from ganvas.engine.settings import EvaluateSettings

    path = str(run if isinstance(run, str | Path) else run.path)
    typed = [str(o) for o in overrides]
    search = [] if config_dir is None else ["--config-dir", str(config_dir)]
    settings = command_settings(EvaluateSettings, "evaluate", path, [*search, *typed])
    settings = settings.model_copy(update={"trust": [*settings.trust, *trust]})
    with plain_notices():
        return evaluate(settings, chosen=names_measures(overrides))[0]


def resume_target(overrides: Sequence[str]) -> str | None:
    """The RUN of `resume=RUN`, if it is there."""
    found = [o.partition("=")[2] for o in overrides if o.startswith("resume=")]
    return found[-1].strip("'\"") if found and found[-1] not in ("null", "") else None


def resume_run(target: str, overrides: Sequence[str]) -> Outcome:
    """Go on with a run from its last checkpoint, in its own folder.

    Raises:
        RunError: if it is finished, or in use by another process.
        ConfigError: if an override would make it another run.
    """
    from ganvas.engine.checkpoint_files import check_fit, checkpoint_path, read_checkpoint
    from ganvas.engine.runs import read_config
    from ganvas.engine.train import train_checked
    from ganvas.tracking.files import read_run_json

    folder = Path(target).expanduser().resolve()
    config = read_config(folder)
    config["init_from"] = None  # its weights went into the checkpoint, and it may be gone by now
    record = read_run_json(folder)
    given = [o for o in overrides if not o.startswith("resume=")]
    trust = _apply(config, given)
    if record["status"] == "finished" and not any(o.startswith("trainer.max") for o in given):
        raise RunError(
            f"{folder} is finished; raise its budget to go on (trainer.max_epochs=…), or begin "
            "a new run with init_from="
        )
    checked = check_plain(config, choices=record.get("choices") or {}, trust=trust)
    _, model = check_build(checked)
    last = checkpoint_path(folder, "last")
    check_fit(model, read_checkpoint(last), last)  # before the record says that it runs
    return train_checked(checked, overrides=given, resume=folder)


def _apply(config: dict[str, Any], overrides: Sequence[str]) -> list[str]:
    """Put the allowed overrides into a frozen config; the trusted modules among them."""
    import yaml

    trust: list[str] = []
    for override in overrides:
        key, _, text = override.partition("=")
        value = yaml.safe_load(text)
        if key == "trust":
            trust = [value] if isinstance(value, str) else list(value)
        elif key == "full_error":
            continue
        elif key not in RESUMABLE:
            raise ConfigError(
                f"{key}: a resumed run keeps its config{suggest(key, RESUMABLE)}; to change more, "
                "begin a new run with init_from="
            )
        else:
            section, name = key.split(".")
            config[section][name] = value
    return trust
