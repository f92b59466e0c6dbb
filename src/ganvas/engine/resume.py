"""Going on with a run: from its newest good checkpoint, as the same run, in its own folder."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from ganvas.engine.check import check_build, check_plain
from ganvas.engine.checkpoint_files import (
    IDENTITY,
    check_fit,
    drop_later_best,
    newest_checkpoint,
    read_checkpoint,
)
from ganvas.engine.compose import suggest
from ganvas.engine.runs import CONFIG_FILE, read_config
from ganvas.engine.values import brief
from ganvas.errors import ConfigError, GanvasWarning, RunError
from ganvas.tracking.files import read_run_json, write_atomic, write_yaml
from ganvas.tracking.provenance import hardware, package_versions
from ganvas.tracking.redact import config_hash, deciding, redact

if TYPE_CHECKING:
    from ganvas.data import ImageData
    from ganvas.engine.build import Checked
    from ganvas.engine.train import Outcome
    from ganvas.tracking.record import RunRecord

RESUMABLE = ("trainer.max_epochs", "trainer.max_steps", "trainer.progress_bar", "logger.mode")
"""What a resumed run may change: how long it trains and how it is shown, not what it is."""

MEANT = "resume_with_changes"
"""The key by which all else may be changed, too."""

_OF_A_START = ("init_from", "checkpoint")
"""Where the first weights came from: of no matter once they are in a checkpoint."""


def resume_run(target: str, overrides: Sequence[str]) -> Outcome:
    """Go on with a run from its newest good checkpoint, in its own folder.

    Raises:
        RunError: if it is finished, or in use by another process.
        ConfigError: if it would become another run, and `resume_with_changes=true` is not given.
    """
    from ganvas.engine.train import train_checked

    folder = Path(target).expanduser().resolve()
    config = read_config(folder)
    config["init_from"] = None  # its weights went into the checkpoint, and it may be gone by now
    record = read_run_json(folder)
    given = [o for o in overrides if not o.startswith("resume=")]
    trust, meant = _apply(config, given)
    checked = check_plain(config, choices=record.get("choices") or {}, trust=trust)
    newest = newest_checkpoint(folder)
    state = read_checkpoint(newest)
    check_unchanged(state, checked, None, meant=meant)
    if record["status"] == "finished" and not any(o.startswith("trainer.max") for o in given):
        raise RunError(
            f"{folder} is finished; raise its budget to go on (trainer.max_epochs=…), or begin "
            "a new run with init_from="
        )
    _, model = check_build(checked)
    check_fit(model, state, newest)  # before the record says that it runs
    return train_checked(checked, overrides=given, resume=folder, changes_meant=meant)


def _apply(config: dict[str, Any], overrides: Sequence[str]) -> tuple[list[str], bool]:
    """Put overrides into a frozen config; the trusted modules, and whether changes are meant.

    Raises:
        ConfigError: if there is no such key.
    """
    import yaml

    trust: list[str] = []
    meant = False
    for override in overrides:
        key, _, text = override.partition("=")
        try:
            value = yaml.safe_load(text)
            if value == text:  # `1e-3` is a number to Hydra, and none to YAML 1.1
                with suppress(ValueError):
                    value = float(text)
        except (yaml.YAMLError, ValueError, RecursionError) as error:
            raise ConfigError(f"{key}: not a value, got {brief(text)}") from error
        if key == "trust":
            trust = [value] if isinstance(value, str) else list(value)
        elif key == MEANT:
            meant = value is True
        elif key != "full_error":
            _put(config, key, value)
    return trust, meant


def _put(config: dict[str, Any], key: str, value: Any) -> None:
    *sections, name = key.split(".")
    node: Any = config
    for section in sections:
        node = node.get(section) if isinstance(node, dict) else None
    known = list(node) if isinstance(node, dict) else []
    if name not in known and key not in RESUMABLE:
        raise ConfigError(f"`{key}`: no such key in the run's config{suggest(name, known)}")
    if isinstance(node[name] if name in known else None, dict) and not isinstance(value, dict):
        raise ConfigError(
            f"{key}={value}: a resumed run changes values, not groups; begin a new run with "
            "init_from="
        )
    node[name] = value


def identity(checked: Checked, data: ImageData | None) -> dict[str, Any]:
    """What a checkpoint says of its run: all that decides its numbers, and no secret."""
    fingerprint = None if data is None else data.fingerprint
    return {"config": deciding(redact(checked.config)), "dataset_fingerprint": fingerprint}


def check_unchanged(
    checkpoint: Mapping[str, Any], checked: Checked, data: ImageData | None, *, meant: bool
) -> list[str]:
    """A resumed run is the run that the checkpoint is of, but for how long it trains.

    Args:
        checkpoint: that it goes on from.
        checked: the config to go on with.
        data: prepared; None where only the config is looked at.
        meant: whether it may differ.

    Returns:
        The differences, where they are meant.

    Raises:
        ConfigError: if there are some that are not meant; each is named.
    """
    found = _differences(checkpoint.get(IDENTITY) or {}, identity(checked, data))
    if found and not meant:
        raise ConfigError(
            "\n".join(found)
            + f"\nthe run would no longer be the one that its checkpoint is of; add {MEANT}=true "
            "if that is meant, or begin a new run with init_from="
        )
    return found


def keep_conditions(record: RunRecord, checked: Checked) -> None:
    """As many threads as the run began with, which decide the last bits; what else differs is said.

    A number of threads that the config states stands.
    """
    began = record.content.get("hardware") or {}
    if checked.settings.trainer.num_threads is None and began.get("torch_threads"):
        torch.set_num_threads(began["torch_threads"])
    now = hardware()
    pairs = {key: (began.get(key), now[key]) for key in ("cpu_capability", "devices")}
    packages = record.content.get("packages") or {}
    pairs["torch"] = packages.get("torch"), package_versions()["torch"]
    differing = [f"{key} {a}, now {b}" for key, (a, b) in pairs.items() if began and a != b]
    if differing:
        text = "; ".join(differing)
        warnings.warn(
            f"the run began under other conditions ({text}); it goes on, but not to the same bits",
            GanvasWarning,
            stacklevel=2,
        )


def rewind(
    record: RunRecord,
    checkpoint: Mapping[str, Any],
    checked: Checked,
    *,
    overrides: Sequence[str],
    changes: Sequence[str],
) -> None:
    """Drop what was written after the checkpoint; its own buffer writes the rest of its window.

    What is changed is in `run.json`, under `resumed`, and in `config.yaml`, whose former state is
    kept as `config-until-<step>.yaml`.
    """
    step = checkpoint["ganvas_counters"]["step"]
    buffered = checkpoint["callbacks"]["Figures"]["steps"]
    drop_later_best(record.path, best_step=checkpoint["callbacks"]["Checkpoints"]["best_step"])
    record.truncate(step, traced=buffered[0] - 1 if buffered else step)
    file = record.path / CONFIG_FILE
    former = read_config(record.path)
    started = {key: former[key] for key in _OF_A_START if key in former}
    config = redact({**checked.config, **started})
    if config != former:
        kept = file.with_name(f"config-until-{step}.yaml")
        if not kept.exists():  # else a resumed run came no further, and this is what it was to be
            write_atomic(kept, file.read_bytes())
        write_yaml(file, config)
    note = {"from_step": step, "overrides": list(overrides), "changes": list(changes)}
    before = record.content.get("resumed") or []
    record.set(resumed=[*before, note], config_hash=config_hash(config))


def _differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """One line for each value that differs; none where the checkpoint is of an earlier version."""
    if not before:
        return []
    old, new = dict(_flat(before["config"])), dict(_flat(now["config"]))
    lines = [
        f"{key}: trained with {_shown(old, key)}, to be resumed with {_shown(new, key)}"
        for key in dict.fromkeys([*old, *new])
        if old.get(key) != new.get(key)
        and key not in RESUMABLE
        and key.partition(".")[0] not in _OF_A_START
    ]
    was, is_now = before["dataset_fingerprint"], now["dataset_fingerprint"]
    if is_now is not None and was != is_now:
        lines.append(
            f"dataset: its images have changed since the checkpoint was written (fingerprint "
            f"{was[:12]}…, now {is_now[:12]}…)"
        )
    return lines


def _shown(values: Mapping[str, Any], key: str) -> str:
    return repr(values[key]) if key in values else "none"


def _flat(node: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(node, Mapping) and node:
        for name, child in node.items():
            yield from _flat(child, f"{prefix}.{name}" if prefix else str(name))
    else:
        yield prefix, list(node) if isinstance(node, tuple) else node
