"""Any value in any setting of the small commands is taken or refused, and a refusal touches none.

Each case runs the whole command on a real run: it ends with 0, or with 2 and a message of ours,
and then the run's files are what they were, byte for byte.
"""

from __future__ import annotations

import math
import re
import shutil
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from any_values import values
from engine_helpers import ganvas
from hypothesis import HealthCheck, assume, given, note, settings
from hypothesis import strategies as st
from pretended import pretended

from ganvas.engine.command import as_override
from ganvas.engine.compose import compose, resolve
from ganvas.errors import ConfigError

QUIET = {
    "deadline": None,
    "database": None,
    "derandomize": True,
    "suppress_health_check": list(HealthCheck),
}
LARGE = 40
"""Of larger numbers a command makes a lot of work, which it may be asked for."""

COMPOSED = ("sample", "evaluate", "latent", "reproduce", "sweep")
OPTIONS = {
    "compare": ("by", "metric", "value", "sort", "unfinished", "format", "out", "nope"),
    "report": ("out", "title", "nope"),
    "export": ("checkpoint", "overwrite", "out", "nope"),
}
WORDS = (
    "true",
    "last",
    "final",
    "csv",
    "model",
    "seed",
    "test/elbo",
    "[a,b]",
    "[",
    "a,,b",
    "a.zip",
)


def of_hydra(command: str) -> list[str]:
    """Every key of `conf/<command>.yaml`, of groups and of what is in them."""
    tool = ["tool=interpolate"] if command == "latent" else []
    config = compose([*tool, "run=x"], name=command).config
    return [key for key in keys(resolve(config), "") if key.partition(".")[0] != "run"]


def keys(node: dict[str, Any], before: str) -> Iterator[str]:
    for name, child in node.items():
        yield f"{before}{name}"
        if isinstance(child, dict):
            yield from keys(child, f"{before}{name}.")


def modest(value: Any) -> bool:
    """Whether it asks for no more work than a test has time for, and for no place elsewhere."""
    if isinstance(value, dict):
        return all(map(modest, value.values()))
    if isinstance(value, list):
        return all(map(modest, value))
    if isinstance(value, str):
        return not value.startswith(("/", "~")) and ".." not in value
    if not isinstance(value, float | int) or (isinstance(value, float) and math.isnan(value)):
        return True
    return abs(value) <= LARGE or abs(value) >= 2**63


@st.composite
def typed(draw: st.DrawFn, command: str, known: list[str]) -> str:
    """`key=value` for one command, in the words of Hydra or without quotes."""
    key = draw(st.sampled_from(known))
    text = st.text(max_size=8) | st.sampled_from(WORDS)
    if command not in COMPOSED or draw(st.integers(0, 3)) == 0:
        value: Any = draw(text)
        assume(modest(value) and not re.search(r"\d{2,}", value))
        return f"{key}={value}"
    value = draw(values)
    assume(modest(value))
    try:
        return f"{key}={as_override(value)}"
    except ConfigError:
        assume(False)
        raise


def state(folder: Path) -> dict[str, bytes]:
    return {
        str(file.relative_to(folder)): file.read_bytes()
        for file in sorted(folder.rglob("*"))
        if file.is_file() and file.name not in (".lock", "report.html")
    }


def case(command: str, target: Path, argument: str) -> int:
    """One command: its exit code, and that a refusal is ours and leaves the run alone."""
    note(f"{command}: {argument!r}")
    before = state(target)
    said = ganvas(*command.split(), str(target), *FIXED.get(command, ()), argument)
    asked = argument.startswith("full_error=")
    assert said.code in ENDS.get(command, (0, 2)), said.err
    assert asked or ("full_error" not in said.err and "Traceback" not in said.err), said.err
    if said.code == 2 and not asked:
        assert said.message and len(said.message) < 3000, said.err
    if said.code == 2 or command in UNTOUCHED:
        assert state(target) == before
    return said.code


FIXED = {
    "sample": ("accelerator=cpu", "n=2"),
    "evaluate": ("accelerator=cpu", "metrics=losses"),
    "latent": ("accelerator=cpu", "tool=interpolate", "images=[0,1]"),
}
ENDS = {"reproduce": (0, 2, 3, 4, 5)}
UNTOUCHED = ("compare", "report", "export", "reproduce")
"""They never write to a run."""


@pytest.fixture(scope="module")
def targets(
    vae_run: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[str], Path]]:
    """A run to use, or a sweep of which all is done; the working folder is an empty one."""
    place = tmp_path_factory.mktemp("settings")
    run = Path(shutil.copytree(vae_run, place / "run"))
    manifest = pretended(place / "sweep", "finish")
    manifest.cells[0].state = "done"
    manifest.save()
    work = place / "a" / "b" / "c"
    work.mkdir(parents=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(work)
        patch.setenv("HOME", str(work))
        patch.setenv("GANVAS_RUNS_DIR", str(work / "runs"))
        yield lambda command: manifest.folder if command.startswith("sweep") else run


def all_cases(targets: Callable[[str], Path], commands: tuple[str, ...], num: int) -> list[int]:
    """`num` cases of each command; their exit codes."""
    codes: list[int] = []
    for command in commands:
        check = partial(one, codes, command, targets(command))
        found = typed(command.partition(" ")[0], known_keys(command))
        settings(max_examples=num, **QUIET)(given(argument=found)(check_of(check)))()
    return codes


def check_of(check: Callable[[str], None]) -> Callable[[str], None]:
    """A plain function, as hypothesis wants it."""

    def each(argument: str) -> None:
        check(argument)

    return each


def one(codes: list[int], command: str, target: Path, argument: str) -> None:
    assume(not re.match(r"(checkout|diff)=.*true", argument.lower()))  # they have their own tests
    codes.append(case(command, target, argument))


def known_keys(command: str) -> list[str]:
    name = command.partition(" ")[0]
    return of_hydra(name) if name in COMPOSED else list(OPTIONS[name])


SMALL = ("compare", "report", "export", "sweep resume", "sweep add", "sweep status")
LOADING = ("sample", "evaluate", "latent")


def test_any_setting_of_the_commands_that_read(targets: Callable[[str], Path]) -> None:
    codes = all_cases(targets, (*SMALL, *LOADING), 6)
    assert codes.count(2) > 20


@pytest.mark.slow
def test_any_setting_of_every_command(targets: Callable[[str], Path]) -> None:
    codes = all_cases(targets, (*SMALL, *LOADING), 150)
    assert codes.count(0) > 20
    all_cases(targets, ("reproduce",), 60)
