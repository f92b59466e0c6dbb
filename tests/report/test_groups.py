"""Groups, their means and errors, and when one of them may be called the best."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_runs import (
    ELBO,
    best_labels,
    compared,
    config_of,
    evaluate,
    group,
    make_grid,
    make_run,
    make_seeds,
    write_sweep,
)

from ganvas.errors import ConfigError


def test_mean_and_standard_error_are_numpys(tmp_path: Path) -> None:
    numbers = [-26.1, -25.3, -27.9, -26.4, -25.95]
    make_seeds(tmp_path, numbers)
    (only,) = compared(tmp_path).groups
    found = only.values[ELBO]
    assert found.mean == pytest.approx(np.mean(numbers), rel=1e-15)
    assert found.error == pytest.approx(np.std(numbers, ddof=1) / np.sqrt(5), rel=1e-15)
    assert (found.count, only.seeds) == (5, 5)


def test_the_error_of_large_numbers_that_differ_little_is_exact(tmp_path: Path) -> None:
    make_seeds(tmp_path, [1e9 + 1, 1e9 + 2, 1e9 + 3])
    found = compared(tmp_path).groups[0].values[ELBO]
    assert (found.mean, found.error) == (1e9 + 2, 1 / math.sqrt(3))


def test_one_seed_has_no_error(tmp_path: Path) -> None:
    make_seeds(tmp_path, [-3.0])
    found = compared(tmp_path).groups[0].values[ELBO]
    assert (found.mean, found.error, found.count) == (-3.0, None, 1)


def test_groups_are_the_config_less_the_seed(tmp_path: Path) -> None:
    make_grid(tmp_path)
    comparison = compared(tmp_path)
    assert comparison.keys == ("model", "loss.beta")
    assert [g.label for g in comparison.groups] == [
        "model=conv_vae loss.beta=1",
        "model=conv_vae loss.beta=4",
        "model=vae loss.beta=1",
        "model=vae loss.beta=4",
    ]
    first = group(comparison, "model=vae loss.beta=1")
    assert first.values[ELBO].mean == pytest.approx(-20.9)
    assert first.values[ELBO].error == pytest.approx(0.1 / math.sqrt(3))
    assert (first.seconds, first.peak_mib, first.counts) == (10, {"process": 600}, {"finished": 3})
    assert best_labels(comparison) == ["model=vae loss.beta=1"]
    assert best_labels(comparison, "test/fd_classifier") == [  # equal means are all the best
        "model=conv_vae loss.beta=1",
        "model=vae loss.beta=1",
    ]
    assert list(comparison.metrics) == [ELBO, "test/fd_classifier"]


def test_groups_by_a_key_average_the_runs_of_a_seed_first(tmp_path: Path) -> None:
    make_grid(tmp_path)
    comparison = compared(tmp_path, by=("model",))
    vae = group(comparison, "model=vae")
    seeds = [np.mean([-20.0 - beta + 0.1 * seed for beta in (1, 4)]) for seed in range(3)]
    assert vae.values[ELBO].mean == pytest.approx(np.mean(seeds))
    assert vae.values[ELBO].error == pytest.approx(np.std(seeds, ddof=1) / np.sqrt(3))
    assert (vae.seeds, len(vae.runs)) == (3, 6)
    assert any("differ in loss.beta too" in note for note in comparison.notes)
    uneven = "not every config has every seed, which shifts the mean, in model=vae"
    assert uneven not in comparison.notes
    make_run(tmp_path, beta=4, seed=7, values={ELBO: -30.0})
    assert uneven in compared(tmp_path, by=("model",)).notes
    assert best_labels(comparison) == ["model=vae"]


def test_a_repeated_seed_is_no_independent_one(tmp_path: Path) -> None:
    make_seeds(tmp_path, [-1.0, -3.0])
    make_run(tmp_path, seed=1, values={ELBO: -5.0})
    comparison = compared(tmp_path)
    found = comparison.groups[0].values[ELBO]
    assert (found.mean, found.count) == (-2.5, 2)  # of -1 and the mean of -3 and -5
    assert found.error == pytest.approx(1.5)
    assert any("run 2 times; averaged, counted as one seed" in n for n in comparison.notes)


def test_unfinished_runs_are_shown_and_not_averaged_unless_asked(tmp_path: Path) -> None:
    make_seeds(tmp_path, [-1.0, -2.0])
    for seed, status in ((2, "failed"), (3, "interrupted"), (4, None)):
        make_run(tmp_path, seed=seed, values={ELBO: -9.0}, status=status, reason="why")
    make_seeds(tmp_path, [-4.0, -5.0], beta=4)
    comparison = compared(tmp_path)
    one = group(comparison, "loss.beta=1")
    assert one.counts == {"finished": 2, "failed": 1, "interrupted": 1, "killed": 1}
    assert one.values[ELBO].mean == -1.5
    assert best_labels(comparison) == ["loss.beta=1"]
    assert any("leaves out 2 that failed" in note for note in comparison.notes)
    asked = compared(tmp_path, unfinished=True)
    found = group(asked, "loss.beta=1").values[ELBO]
    assert (found.mean, found.count) == (pytest.approx(-6.0), 5)
    assert best_labels(asked) == []
    assert any("unfinished runs are counted" in note for note in asked.notes)


def test_a_group_without_a_finished_run_is_there(tmp_path: Path) -> None:
    make_seeds(tmp_path, [-1.0, -2.0])
    make_run(tmp_path, beta=4, status="failed", reason="died", seconds=None)
    comparison = compared(tmp_path)
    bad = group(comparison, "loss.beta=4")
    assert (bad.values[ELBO].mean, bad.values[ELBO].count, bad.seconds) == (None, 0, None)
    assert bad.counts == {"failed": 1}


def test_queued_cells_are_in_their_group(tmp_path: Path) -> None:
    make_run(tmp_path, values={ELBO: -1.0}, config={"model": "vae"}, overrides=["model=vae"])
    write_sweep(tmp_path, [{"overrides": ["model=gan"], "state": "queued", "run": None}])
    comparison = compared(tmp_path, by=("model",))
    assert [(g.label, dict(g.counts)) for g in comparison.groups] == [
        ("model=gan", {"queued": 1}),
        ("model=vae", {"finished": 1}),
    ]


def test_best_is_the_selected_checkpoints_value_and_final_the_last_weights(tmp_path: Path) -> None:
    make_run(tmp_path, values={ELBO: (-1.0, -5.0), "test/rate": 2.0})
    for value, number in (("best", -1.0), ("final", -5.0)):
        comparison = compared(tmp_path, value=value, metrics=(ELBO, "test/rate"))
        found = comparison.groups[0].values
        assert (found[ELBO].mean, found["test/rate"].mean) == (number, 2.0)


def test_a_value_with_the_last_weights_only_is_told(tmp_path: Path) -> None:
    folder = make_run(tmp_path, seed=0)
    evaluate(folder, {"checkpoint": "best.ckpt"})
    other = make_run(tmp_path, seed=1)
    evaluate(other, {"checkpoint": "last.ckpt"})
    name = "test/fd_classifier"
    best = compared(tmp_path, metrics=(name,))
    assert best.groups[0].values[name].count == 2
    assert any("of the last weights" in n and "seed=1" in n for n in best.notes)
    final = compared(tmp_path, metrics=(name,), value="final")
    assert final.groups[0].values[name].count == 1
    assert any("no final value in 1 of 2 runs" in n and "seed=0" in n for n in final.notes)


def test_a_metric_that_some_runs_lack_is_told_and_one_that_all_lack_refused(tmp_path: Path) -> None:
    make_grid(tmp_path, seeds=1)
    make_run(tmp_path, beta=16, values={})
    comparison = compared(tmp_path, metrics=("val/elbo",))
    assert any("no value in 1 of 5 runs (" in n and "beta=16" in n for n in comparison.notes)
    with pytest.raises(ConfigError, match="did you mean `test/elbo` or `val/elbo`"):
        compared(tmp_path, metrics=("elbo",))
    with pytest.raises(ConfigError, match="there are: test/elbo, test/fd_classifier"):
        compared(tmp_path, metrics=("zzz",))


def test_an_unknown_key_is_refused_with_one_that_there_is(tmp_path: Path) -> None:
    make_grid(tmp_path, seeds=1)
    for key, meant in (("modle", "model"), ("beta", "loss.beta"), ("los.beta", "loss.beta")):
        with pytest.raises(ConfigError, match=f"by={key}: .*did you mean `{meant}`"):
            compared(tmp_path, by=(key,))
    with pytest.raises(ConfigError, match="sort=elb: no such column"):
        compared(tmp_path, sort="elb")


def test_default_metrics(tmp_path: Path) -> None:
    only_val = make_run(tmp_path / "a", values={"val/elbo": -1.0, "val/rate": 2.0})
    assert list(compared(only_val).metrics) == ["val/elbo"]
    undirected = make_run(tmp_path / "b", values={"train/rate": 2.0, "val/rate": 2.0})
    assert list(compared(undirected).metrics) == ["val/rate", "train/rate"]
    assert list(compared(make_run(tmp_path / "c")).metrics) == []
    for seed in range(3):
        rare = {"test/reconstruction_mse": 1.0} if seed == 0 else {}
        values = {"test/loss": 1.0, ELBO: -1.0, "val/elbo": -1.0, **rare}
        make_run(tmp_path / "d", seed=seed, values=values)
    assert list(compared(tmp_path / "d").metrics) == [ELBO, "test/loss"]


def test_sorting(tmp_path: Path) -> None:
    for beta, elbo, seconds in ((1, -3.0, 5.0), (10, -1.0, 9.0), (4, math.nan, 1.0)):
        make_run(tmp_path, beta=beta, values={ELBO: elbo}, seconds=seconds)

    def order(sort: str | None) -> list[Any]:
        return [g.keys["loss.beta"] for g in compared(tmp_path, sort=sort).groups]

    assert order(None) == order("loss.beta") == [1, 4, 10]  # as numbers
    assert order("-loss.beta") == [10, 4, 1]
    assert order(ELBO) == [10, 1, 4]  # the best first, NaN last
    assert order(f"-{ELBO}") == [1, 10, 4]
    assert order("seconds") == [4, 1, 10]


def test_mixed_projects_are_told(tmp_path: Path) -> None:
    make_run(tmp_path, values={ELBO: -1.0})
    make_run(tmp_path, beta=4, values={ELBO: -1.0}, config=config_of(logger={"project": "b"}))
    assert any("runs of 2 projects: b, ganvas" in n for n in compared(tmp_path).notes)
