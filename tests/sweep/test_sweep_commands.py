"""`ganvas sweep resume` and `add`: what they take, refuse and leave alone."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from engine_helpers import ganvas
from sweeps import TINY, finished_trees, run_of, states, tree

from ganvas.paths import config_dir
from ganvas.sweep import resume as module
from ganvas.sweep.cells import Planned
from ganvas.sweep.manifest import Manifest

pytestmark = pytest.mark.usefixtures("fresh_modules")

SMALL = (*TINY, "trainer.max_steps=5")

PARTS = """
import pathlib

from pytorch_lightning import Callback


class Asks(Callback):
    def __init__(self, *, token: str, good: str) -> None:
        self.token, self.good = token, good

    def on_train_start(self, trainer, module) -> None:
        if not pathlib.Path(self.good).exists():
            raise KeyError("not yet")
        if self.token != pathlib.Path(self.good).read_text():
            raise ValueError("wrong token")
"""


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What would be run, in the place of running it."""
    seen: dict[str, Any] = {}

    def run_cells(
        manifest: Manifest, settings: Any, *, planned: Sequence[Planned] = (), **more: Any
    ) -> int:
        seen.update(settings=settings, planned=planned, **more)
        return 0

    monkeypatch.setattr(module, "run_cells", run_cells)
    return seen


def written(folder: Path, *overrides: str, **content: Any) -> Path:
    """The folder of a sweep that has no cells yet."""
    folder.mkdir()
    launcher = {"n_jobs": 3, "retries": 2, "report": False}
    manifest = Manifest.create(
        folder, command="", overrides=[*SMALL[:-2], *overrides], launcher=launcher, **content
    )
    manifest.content["overrides"] = [o for o in manifest.content["overrides"] if "hydra" not in o]
    manifest.save()
    return folder


def test_add_puts_values_in_the_place_of_others(place: Path, runs: dict[str, Any]) -> None:
    sweep = written(place / "s", "model=vae,ae", "seed=0,1", "trainer.max_steps=5")
    given = ["seed=2", "notes='a, b'", "tags=['ä','b c']", "~callbacks.images", "n_jobs=1"]
    module.add(sweep, given)
    labels = [one.label for one in runs["planned"]]
    assert labels == ["model=vae", "model=ae"]
    for one in runs["planned"]:
        assert one.checked.config["seed"] == 2
        assert one.checked.config["tags"] == ["ä", "b c"]
        assert one.checked.config["notes"] == "a, b"
        assert "images" not in one.checked.config["callbacks"]
    assert (runs["settings"].n_jobs, runs["settings"].retries) == (1, 2)


def test_add_finds_the_groups_that_the_sweep_began_with(
    place: Path, tmp_path: Path, runs: dict[str, Any]
) -> None:
    folder = tmp_path / "groups" / "model"
    folder.mkdir(parents=True)
    shutil.copy(config_dir() / "model" / "vae.yaml", folder / "mine.yaml")
    sweep = written(place / "s", "model=mine", "trainer.max_steps=5", search=[str(folder.parent)])
    module.add(sweep, ["seed=7"])
    assert runs["planned"][0].checked.choices["model"] == "mine"
    shutil.move(folder.parent, tmp_path / "elsewhere")
    said = ganvas("sweep", "add", str(sweep), "seed=8")
    assert (said.code, said.out) == (2, "")
    assert "--config-dir" in said.message
    module.add(sweep, ["seed=8", f"--config-dir={tmp_path / 'elsewhere'}"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["add"], "sweep add: name what is new"),
        (["add", "failed=true", "seed=2"], "failed=true: of `ganvas sweep resume DIR`"),
        (["add", "model=vea"], "1 of 1 cells can't be run"),
        (["add", "hydra.launcher.n_jobs=2", "seed=1"], "goes on as it was begun; write n_jobs=2"),
        (["add", "seed=1", "n_jobs=0"], "n_jobs"),
        (["add", "seed=1"], "`+logger.token=***`: a secret is not written down; give it again"),
        (["add", "seed=1", "--wrong"], "`--wrong`: no such flag"),
        (["resume", "hydra/launcher=slurm"], "hydra/launcher=slurm: a sweep goes on as it was be"),
        (["resume", "n_job=2"], "`n_job`: no such key; did you mean `n_jobs`?"),
        (["resume", "seed=2"], "`seed`: no such key"),
        (["resume", "time_limit=-1"], "time_limit"),
    ],
)
def test_what_is_refused(arguments: list[str], message: str, place: Path) -> None:
    bad = ["+logger.token=abcdefgh"] if "secret" in message else []
    sweep = written(place / "s", "trainer.max_steps=5", *bad)
    before = (sweep / "sweep.json").read_bytes()
    said = ganvas("sweep", arguments[0], str(sweep), *arguments[1:])
    assert said.code == 2
    assert message in said.message
    assert (sweep / "sweep.json").read_bytes() == before


def test_trust_is_given_again(place: Path, runs: dict[str, Any]) -> None:
    """Nobody's file may say what code is run."""
    sweep = written(place / "s", "trust=[users_a]", "trainer.max_steps=5", trust=["users_a"])
    for action in (["resume"], ["add", "seed=3"]):
        said = ganvas("sweep", action[0], str(sweep), *action[1:])
        assert said.code == 2
        assert "trust: this sweep was begun with trust in users_a" in said.message
        assert "add trust=[users_a]" in said.message
    module.add(sweep, ["seed=3", "trust=[users_a]"])
    assert runs["planned"][0].checked.trust == runs["trust"] == ("users_a",)
    module.resume(sweep, ["trust=[users_a]"])
    assert runs["trust"] == ("users_a",)


def test_a_sweep_from_its_failure_to_its_end(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Own code with a secret; a retry that fails; resumed elsewhere; cells added, twice."""
    monkeypatch.setenv("MY_TOKEN", "a-secret-of-mine")
    (place / "users_asks.py").write_text(PARTS)
    asks = f"token:'${{oc.env:MY_TOKEN}}',good:'{place / 'good'}'"
    own = [f"+callbacks.asks={{_target_:users_asks.Asks,{asks}}}", "trust=[users_asks]"]
    said = ganvas("train", "-m", *SMALL, *own, "seed=0,1", "hydra.launcher.fail_fast=true")
    assert said.code == 1, said.err
    (sweep,) = (place / "runs" / "sweeps").iterdir()
    assert states(sweep) == ["failed", "queued"]
    assert "cell 0 failed (KeyError: 'not yet')" in said.out
    assert not (sweep / "multirun.yaml").exists()
    texts = [file.read_bytes() for file in place.rglob("*") if file.is_file()]
    assert not any(b"a-secret-of-mine" in text for text in texts)

    (place / "good").write_text("a-secret-of-mine")
    sweep = Path(shutil.move(sweep, place / "moved"))
    again = ["sweep", "resume", str(sweep), "trust=[users_asks]", "fail_fast=false"]
    assert ganvas(*again).code == 1  # the failed one is left as it is
    assert states(sweep) == ["failed", "done"]
    before = tree(run_of(sweep, 1))
    assert ganvas(*again, "failed=true").code == 0
    assert states(sweep) == ["done", "done"]
    assert tree(run_of(sweep, 1)) == before

    before = finished_trees(sweep)
    added = ganvas("sweep", "add", str(sweep), "seed=1,2", "trust=[users_asks]")
    assert added.code == 0, added.err
    assert "1 of these 2 cells are there already and stay as they are" in added.out
    assert states(sweep) == ["done"] * 3
    after = finished_trees(sweep)
    assert {name: after[name] for name in before} == before
    assert ganvas("sweep", "add", str(sweep), "seed=1,2", "trust=[users_asks]").code == 2
    records = [json.loads((run_of(sweep, i) / "run.json").read_text()) for i in range(3)]
    assert [record["status"] for record in records] == ["finished"] * 3
    nothing = ganvas("sweep", "resume", str(sweep), "trust=[users_asks]")
    assert nothing.code == 0
    assert finished_trees(sweep) == after


def test_batches_are_refused() -> None:
    """The cells of later ones would be in no manifest while the first one runs."""
    said = ganvas("train", "-m", *SMALL, "seed=0,1", "hydra.sweeper.max_batch_size=1")
    assert (said.code, "set hydra.launcher.n_jobs" in said.err) == (2, True)
