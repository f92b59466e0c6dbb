"""What a sweep runs over: patterns of options, ranges, and the folder it is written to."""

from __future__ import annotations

from pathlib import Path

import pytest
from engine_helpers import ganvas

from ganvas.engine.compose import options
from ganvas.engine.grammar import sweep_jobs
from ganvas.errors import ConfigError


def test_a_pattern_stands_for_the_options_of_a_group() -> None:
    jobs = sweep_jobs(["model=glob(*_vae,exclude=c*)", "seed=range(0,2)"], options=options)
    names = [n for n in options("model") if n.endswith("_vae") and not n.startswith("c")]
    assert len(names) > 3
    assert jobs == [[f"model={n}", f"seed={s}"] for n in names for s in (0, 1)]


@pytest.mark.parametrize(
    "empty", ["model=glob(zz*)", "seed=glob(*)", "seed=range(5,0)", "seed=range(0,5,0)"]
)
def test_a_sweep_over_nothing_is_refused(empty: str) -> None:
    with pytest.raises(ConfigError, match="values to sweep over") as refused:
        sweep_jobs([empty], options=options)
    assert str(refused.value).startswith(empty)


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        ("hydra.sweep.dir=", "must be the path of a folder"),
        ("hydra.sweep.dir=file", "file is a file"),
        ("hydra.sweep.dir=file/sweep", "file is a file"),
        ("hydra.sweep.subdir=x", "hydra.sweep.subdir: not used"),
    ],
)
def test_a_folder_that_cannot_be_is_refused(
    typed: str, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.chdir(tmp_path)
    said = ganvas("train", "-m", "trainer=cpu", "seed=0,1", typed)
    assert said.code == 2 and told in said.err and said.err.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
