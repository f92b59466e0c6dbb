"""Training and evaluating from Python."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ganvas.engine.check import check_overrides
from ganvas.engine.notices import plain_notices
from ganvas.errors import ConfigError

if TYPE_CHECKING:
    from ganvas.engine.runs import Run
    from ganvas.evaluation.result import Result


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
    from ganvas.engine.grammar import resume_target
    from ganvas.engine.resume import resume_run
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

    path = str(run if isinstance(run, str | Path) else run.place.shown)
    typed = [str(o) for o in overrides]
    search = [] if config_dir is None else ["--config-dir", str(config_dir)]
    settings = command_settings(EvaluateSettings, "evaluate", path, [*search, *typed])
    settings = settings.model_copy(update={"trust": [*settings.trust, *trust]})
    with plain_notices():
        return evaluate(settings, chosen=names_measures(overrides))[0]
