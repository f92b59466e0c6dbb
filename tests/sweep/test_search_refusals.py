"""What a search refuses before anything is on disk: the rule, the value, the remedy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import optuna
import pytest
from searches import folder_of, planned

from ganvas.errors import GanvasError
from ganvas.sweep.prepare import Prepared, prepare
from ganvas.sweep.search import open_study
from ganvas.sweep.search_launch import PLANS
from ganvas.sweep.search_plan import check_same

BETA = "loss.beta=tag(log, interval(0.1, 10))"
BASE = ("hydra/sweeper=optuna", "trainer=cpu", "logger=none", "trainer.max_epochs=1")


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GANVAS_RUNS_DIR", str(tmp_path / "runs"))


def prepared(*overrides: str) -> Prepared:
    return prepare([*BASE, *overrides])


CASES: dict[str, tuple[tuple[str, ...], str]] = {
    "nothing": ((), "nothing is searched; name at least one key"),
    "seed": (("seed=0,1",), "a search would pick the luckiest seed"),
    "paths": (("paths.runs_dir=a,b",), "can't be searched"),
    "grid": ((BETA, "hydra.sweeper.sampler=grid"), "a grid needs values that can be counted"),
    "sampler": ((BETA, "hydra.sweeper.sampler=bayes"), "hydra.sweeper.sampler: should be 'tpe'"),
    "key": ((BETA, "hydra.sweeper.smapler=tpe"), "smapler"),
    "trials": ((BETA, "hydra.sweeper.num_trials=0"), "hydra.sweeper.num_trials: should be gre"),
    "corner": (("loss.beta=interval(1,2)", "model.latent_dim=-1,2"), "2 of 3 cells can't be run"),
    "unknown": (("loss.bta=interval(1,2)",), "did you mean `beta`?"),
    "metric": ((BETA, "hydra.sweeper.metric=val/elbow"), "did you mean `val/elbo`?"),
    "untested": ((BETA, "test=false", "hydra.sweeper.metric=test/elbo"), "test=false leaves"),
    "three": ((BETA, "hydra.sweeper.metric=[val/elbo,val/loss,val/rate]"), "a list of two, got 3"),
    "twice": ((BETA, "hydra.sweeper.metric=[val/elbo,val/elbo]"), "got val/elbo twice"),
    "undirected": (
        (BETA, "hydra.sweeper.metric=[test/distortion,test/rate]"),
        "whether test/rate should rise or fall is not known; say so, e.g. "
        "hydra.sweeper.direction=[minimize,minimize]",
    ),
    "direction": ((BETA, "hydra.sweeper.direction=up"), "hydra.sweeper.direction"),
    "directions": ((BETA, "hydra.sweeper.direction=[minimize,minimize]"), "val/elbo, got 2"),
    "monitor": (("model=vae,ae",), "select by different ones: val/elbo, val/loss"),
    "pruned pair": (
        (BETA, "hydra.sweeper.pruner=median", "hydra.sweeper.metric=[val/elbo,val/loss]"),
        "trials are pruned by one value",
    ),
    "folder": ((BETA, "hydra.sweeper.storage=/nowhere/s.log"), "there is no folder /nowhere"),
    "kind": ((BETA, "hydra.sweeper.storage=mysql://host/s"), "*.log, *.journal"),
    "address": ((BETA, "hydra.sweeper.storage='sqlite:///a?mode=rw'"), "sqlite:///FILE"),
    "memory": ((BETA, "hydra.sweeper.storage='sqlite:///:memory:'"), "sqlite:///FILE"),
    "name": ((BETA, "hydra.launcher.n_jobs=0"), "hydra.launcher.n_jobs"),
    "yaml list": ((BETA, "+hydra.sweeper.params={a: [1, 2]}"), "write e.g."),
}


@pytest.mark.parametrize("name", CASES)
def test_refusals(name: str, tmp_path: Path) -> None:
    overrides, message = CASES[name]
    with pytest.raises(GanvasError) as caught:
        prepared(*overrides)
    assert message in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_an_interval_needs_a_search() -> None:
    with pytest.raises(GanvasError, match="search it with hydra/sweeper=optuna"):
        prepare([BETA])


def test_what_is_not_said_follows_from_the_model() -> None:
    prepared(BETA)
    plan, _ = PLANS[(*BASE[1:], BETA)]
    (objective,) = plan.objectives
    assert (objective.name, objective.direction, plan.num_trials) == ("val/elbo", "maximize", 20)
    assert plan.settings.study_name == "vae_digits"


def test_a_space_may_stand_in_an_experiment(tmp_path: Path) -> None:
    place = tmp_path / "mine" / "experiment"
    place.mkdir(parents=True)
    (place / "betas.yaml").write_text(
        "# @package _global_\n"
        "defaults:\n  - override /hydra/sweeper: optuna\n  - override /model: vae\n"
        "hydra:\n  sweeper:\n    num_trials: 7\n    metric: val/loss\n    params:\n"
        "      loss.beta: tag(log, interval(0.1, 10))\n      model.latent_dim: 2,8\n"
    )
    typed = ["experiment=betas", "trainer=cpu", "logger=none", "model.latent_dim=4"]
    planned = prepare(typed, search=[tmp_path / "mine"]).planned
    plan, _ = PLANS[tuple(typed)]
    assert [p.key for p in plan.space.parameters] == ["loss.beta"]
    assert (plan.num_trials, plan.objectives[0].direction) == (7, "minimize")
    assert [dict(one.checked.config["loss"])["beta"] for one in planned] == [0.1, 10.0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"space": ("x=interval(0,2)", "n=1,2")}, "x: it has 0.0 to 1.0, asked is 0.0 to 2.0"),
        ({"space": ("x=interval(0,1)",)}, "n: it has choice(1, 2), asked is no such key"),
        ({"metric": ("val/elbo",)}, "are val/loss (minimize), asked is val/elbo (minimize)"),
        ({"num_trials": 2}, "has 2 trials, 2 were asked for in all; nothing was run"),
    ],
)
def test_a_study_that_is_there_must_be_the_one_that_is_asked_for(
    tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    space = ("x=interval(0,1)", "n=1,2")
    plan = planned(*space)
    study = open_study(folder_of(tmp_path / "first", plan), plan)
    for _ in range(2):
        study.tell(study.ask(), 1.0)
    check_same(plan, study)
    with pytest.raises(GanvasError) as caught:
        check_same(planned(*change.pop("space", space), **change), study)
    assert message in str(caught.value)


def test_a_study_of_another_program_and_a_damaged_file(tmp_path: Path) -> None:
    storage = f"sqlite:///{tmp_path}/theirs.db"
    optuna.create_study(storage=storage, study_name="s")
    given = f"hydra.sweeper.storage={storage}"
    with pytest.raises(GanvasError, match="it was not made by ganvas"):
        prepared(BETA, given, "hydra.sweeper.study_name=s")
    (tmp_path / "theirs.db").write_bytes(b"no database" * 200)
    with pytest.raises(GanvasError, match=r"theirs.db: the study can't be read"):
        prepared(BETA, given, "hydra.sweeper.study_name=s")
