"""When a group may be called the best, and what is said where it may not."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
from made_runs import ELBO, best_labels, compared, evaluate, group, make_grid, make_run, make_seeds


def test_two_runs_of_one_seed_rank_nothing(tmp_path: Path) -> None:
    for beta in (1, 4):
        for _ in range(2):
            make_run(tmp_path, beta=beta, values={ELBO: -float(beta)})
    comparison = compared(tmp_path)
    assert best_labels(comparison) == []
    assert any("needs 2 seeds" in note for note in comparison.notes)


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_is_shown_and_never_best(tmp_path: Path, number: float) -> None:
    make_seeds(tmp_path, [number, -1.0])
    make_seeds(tmp_path, [-5.0, -6.0], beta=4)
    make_seeds(tmp_path, [-7.0, -8.0], beta=8)
    comparison = compared(tmp_path)
    found = group(comparison, "loss.beta=1").values[ELBO]
    assert found.mean is not None
    assert not math.isfinite(found.mean)
    assert found.error is None
    assert best_labels(comparison) == ["loss.beta=4"]


def test_lower_is_better_where_the_metric_says_so(tmp_path: Path) -> None:
    name = "test/reconstruction_mse"
    for beta, numbers in ((1, [3.0, 4.0]), (4, [1.0, 2.0]), (8, [5.0, 6.0])):
        make_seeds(tmp_path, numbers, metric=name, beta=beta)
    comparison = compared(tmp_path)
    assert comparison.metrics == {name: False}
    assert best_labels(comparison, name) == ["loss.beta=4"]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"fingerprint": "other"}, "protocols differ in images (9bea64f9, other)"),
        ({"protocols": {ELBO: {"num": 2000}}}, "protocols differ in dataset (digits, none)"),
    ],
)
def test_other_protocols_are_not_ranked(tmp_path: Path, change: dict[str, Any], told: str) -> None:
    make_seeds(tmp_path, [-1.0, -2.0])
    make_seeds(tmp_path, [-5.0, -6.0], beta=4, **change)
    comparison = compared(tmp_path)
    assert comparison.best == {}
    assert any("not ranked" in note and told in note for note in comparison.notes)
    assert [g.values[ELBO].mean for g in comparison.groups] == [-1.5, -5.5]  # shown


def test_values_by_two_protocols_are_not_averaged(tmp_path: Path) -> None:
    protocols = {"test/fd_classifier": {"num": 297}}
    for seed in (0, 1, 2):
        make_run(tmp_path, seed=seed, values={"test/fd_classifier": 5.0}, protocols=protocols)
    odd = make_run(tmp_path, seed=3)
    evaluate(odd, {"value": 9.0, "protocol": {"num": 2000}})
    comparison = compared(tmp_path)
    found = comparison.groups[0].values["test/fd_classifier"]
    assert (found.mean, found.error, found.count) == (None, None, 4)
    assert any("not averaged" in n and "num (297, 2000)" in n for n in comparison.notes)


def test_without_a_direction_nothing_is_ranked(tmp_path: Path) -> None:
    make_grid(tmp_path)
    comparison = compared(tmp_path, metrics=("test/rate",))
    assert comparison.best == {}
    assert "neither higher nor lower" in comparison.notes[0]


def test_one_seed_in_one_rival_ranks_nothing(tmp_path: Path) -> None:
    make_seeds(tmp_path, [-1.0, -2.0])
    make_seeds(tmp_path, [-5.0], beta=4)
    comparison = compared(tmp_path)
    assert comparison.best == {}
    assert any(note.endswith("one seed alone in loss.beta=4") for note in comparison.notes)
    make_run(tmp_path, beta=4, seed=1, values={ELBO: -6.0})
    assert best_labels(compared(tmp_path)) == ["loss.beta=1"]


def test_a_lead_within_the_errors_is_told(tmp_path: Path) -> None:
    make_seeds(tmp_path, [-1.0, -2.0])
    make_seeds(tmp_path, [-1.2, -2.2], beta=4)
    make_seeds(tmp_path, [-91.2, -92.2], beta=8)
    comparison = compared(tmp_path)
    assert best_labels(comparison) == ["loss.beta=1"]
    told = [note for note in comparison.notes if "within two standard errors" in note]
    assert told == [f"{ELBO}: one other group is within two standard errors of the best"]
