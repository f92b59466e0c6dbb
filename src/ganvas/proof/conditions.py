"""What must be the same for a run to give the same bits again: looked at before it is run."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ganvas.engine.trainer import deterministic_mode, on_gpu
from ganvas.tracking import provenance, sources

if TYPE_CHECKING:
    from ganvas.engine.build import Checked

Match = Literal["same", "differs", "unknown"]

NONE = "none"
UNRECORDED = "not recorded"
_SHOWN_PACKAGES = ("wandb",)  # shows numbers, makes none
_OF_GPUS = ("cudnn_benchmark", "cudnn_allow_tf32")


@dataclass(frozen=True)
class Condition:
    """One thing that decides the numbers of a run.

    Attributes:
        name: what it is.
        recorded: as the run's record tells it, in short.
        here: as it is for the re-run.
        verdict: whether the two are the same.
        decides: whether nothing can be compared where it differs.
        explains: whether other bits are no wonder with it, so that a tolerance applies.
        note: what there is to say about it.
    """

    name: str
    recorded: str
    here: str
    verdict: Match
    decides: bool = False
    explains: bool = False
    note: str = ""


def same(recorded: object, here: object) -> Match:
    """Whether two facts agree; None is an unknown one."""
    if recorded is None or here is None:
        return "unknown"
    return "same" if recorded == here else "differs"


def check_code(record: Mapping[str, Any], checked: Checked) -> list[Condition]:
    """The sources of ganvas, and those of the user's own modules."""
    recorded = record.get("code") or {}
    with tempfile.TemporaryDirectory() as scratch:
        here = sources.code_state(Path(scratch), modules=checked.trust)
        top = sources.checkout()
        git = provenance.git_state(Path(scratch), cwd=top) if top else None
    match = same(recorded.get("sources"), here["sources"])
    note, theirs = "", recorded.get("parts") or {}
    parts = [n for n in sorted({*theirs, *here["parts"]}) if theirs.get(n) != here["parts"].get(n)]
    deciding = [name for name in parts if name not in sources.SHOWN_ONLY]
    if match == "differs":
        note = "other sources in " + ", ".join(deciding)
    elif match == "same" and _commit(recorded.get("git")) != _commit(git):
        note = "the commits differ, the sources that train are equal"
    former = recorded.get("git") or record.get("git")
    own = Condition(
        "code",
        f"{_commit(former)} {short(recorded.get('sources'))}".strip(),
        f"{_commit(git)} {short(here['sources'])}".strip(),
        match,
        explains=match != "same",
        note=note,
    )
    modules = _modules(recorded.get("modules"), here["modules"])
    return [own, *([modules] if modules else [])]


def _modules(recorded: Mapping[str, str] | None, here: Mapping[str, str]) -> Condition | None:
    if not recorded and not here:
        return None
    match = same(recorded, dict(here))
    names = [
        n for n in sorted({*(recorded or {}), *here}) if (recorded or {}).get(n) != here.get(n)
    ]
    return Condition(
        "own modules",
        _hashes(recorded) if recorded is not None else UNRECORDED,
        _hashes(here),
        match,
        explains=match != "same",
        note=f"changed: {', '.join(names)}" if match == "differs" else "",
    )


def check_packages(record: Mapping[str, Any]) -> Condition:
    """Versions of what computes."""
    recorded, here = record.get("packages"), provenance.package_versions()
    if recorded is None:
        return Condition("packages", UNRECORDED, f"torch {here['torch']}", "unknown", explains=True)
    other = [n for n in dict.fromkeys([*recorded, *here]) if recorded.get(n) != here.get(n)]
    shown = other or ["python", "torch"]
    return Condition(
        "packages",
        ", ".join(f"{name} {recorded.get(name) or NONE}" for name in shown),
        ", ".join(f"{name} {here.get(name) or NONE}" for name in shown),
        "differs" if other else "same",
        explains=bool(set(other) - set(_SHOWN_PACKAGES)),
    )


def check_hardware(record: Mapping[str, Any], checked: Checked) -> Condition:
    """The processor and its vector instructions, and the devices that train."""
    recorded, here = record.get("hardware"), provenance.hardware()
    gpu = on_gpu(checked.settings.trainer) or bool((recorded or {}).get("devices"))
    match = same(_machine(recorded, gpu=gpu), _machine(here, gpu=gpu))
    return Condition(
        "hardware",
        _machine(recorded, gpu=gpu) or UNRECORDED,
        _machine(here, gpu=gpu) or NONE,
        match,
        explains=match != "same",
    )


def check_threads(
    record: Mapping[str, Any], config: Mapping[str, Any], *, threads: int | None
) -> Condition:
    """Threads and ranks; `threads` are those that the re-run is told to have, None for its own."""
    world, recorded = num_ranks(config), recorded_threads(record, config)
    present = max(1, int(provenance.hardware()["torch_threads"]) // world)
    fixed = config["trainer"].get("num_threads")
    given, note = fixed or threads or present, ""
    if recorded and not threads and given != recorded:
        note = f"the re-run is given {recorded}"
    match = same(recorded, given)
    ranks = "" if world == 1 else f"{world} ranks × "
    return Condition(
        "threads",
        f"{ranks}{recorded or UNRECORDED}",
        f"{ranks}{given}",
        match,
        explains=match != "same",
        note=note,
    )


def recorded_threads(record: Mapping[str, Any], config: Mapping[str, Any]) -> int | None:
    """CPU threads that each rank of the run had."""
    told = (record.get("determinism") or {}).get("threads")
    if told is not None:
        return int(told)
    former = (record.get("hardware") or {}).get("torch_threads")  # of an earlier version
    return None if former is None else max(1, int(former) // num_ranks(config))


def num_ranks(config: Mapping[str, Any]) -> int:
    """Processes that train."""
    trainer = config["trainer"]
    return int(trainer.get("devices") or 1) * int(trainer.get("num_nodes") or 1)


def check_determinism(record: Mapping[str, Any], checked: Checked) -> Condition:
    """Whether algorithms were, and are, held to one order of additions."""
    settings = checked.settings.trainer
    mode = deterministic_mode(settings)
    left_out = ("threads", *(() if on_gpu(settings) else _OF_GPUS))
    here = _less(provenance.determinism(mode, threads=1), left_out)
    told = record.get("determinism")
    recorded = None if told is None else _less(told, left_out)
    match = same(recorded, here)
    keys = [k for k in here if (recorded or here).get(k) != here[k]] or ["deterministic"]
    free = mode is not True
    return Condition(
        "determinism",
        _listed(recorded, keys) if recorded else UNRECORDED,
        _listed(here, keys),
        match,
        explains=match != "same" or free,
        note="not deterministic: two runs of one config may differ" if free else "",
    )


def _less(values: Mapping[str, Any], keys: tuple[str, ...]) -> dict[str, Any]:
    return {k: v for k, v in values.items() if k not in keys}


def _listed(values: Mapping[str, Any], keys: list[str]) -> str:
    return ", ".join(f"{key} {str(values.get(key)).lower()}" for key in keys)


def _machine(facts: Mapping[str, Any] | None, *, gpu: bool) -> str | None:
    if facts is None:
        return None
    devices = [str(device["name"]) for device in facts.get("devices") or []] if gpu else []
    return ", ".join([*devices, str(facts.get("cpu")), str(facts.get("cpu_capability"))])


def _commit(git: Mapping[str, Any] | None) -> str:
    return "" if not git else str(git["sha"])[:7] + ("+changes" if git.get("diff") else "")


def short(text: object) -> str:
    """As much of a hash as tells two apart."""
    return "" if text is None else str(text)[:8]


def _hashes(values: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {short(text)}" for name, text in values.items()) or NONE
