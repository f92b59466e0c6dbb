"""The page's groups are those of `ganvas compare` and of `load_runs`, however odd the runs are."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from made_runs import ELBO, compared, evaluate, make_run

import ganvas
from ganvas.report import words
from ganvas.report.collect import read_runs
from ganvas.report.payload import payload

FD = "test/fd_classifier"
METRICS = (ELBO, FD, "test/reconstruction_mse")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Seeds run twice, NaN, an infinity, a run that failed, values measured in two ways."""
    cells = [
        ("vae", 1, [(0, -20.0), (0, -30.0), (1, -21.0), (2, -22.5)]),  # by runs: another mean
        ("vae", 4, [(0, -24.3), (1, math.nan)]),
        ("conv_vae", 1, [(0, -21.2), (1, -22.9), (2, -23.3)]),
        ("conv_vae", 4, [(0, -math.inf), (1, -25.0), (1, -26.0)]),
    ]
    for model, beta, runs in cells:
        for seed, elbo in runs:
            folder = make_run(
                tmp_path,
                model=model,
                beta=beta,
                seed=seed,
                values={
                    ELBO: (elbo, elbo - 3 * seed - 1),
                    FD: (50.0 * beta + seed, 60.0 * beta + 2.3 * seed),
                    "test/reconstruction_mse": 2.0 * beta + 0.37 * seed,
                },
                protocols={FD: {"num": 100 * beta}},
                seconds=10.0 + seed,
                mib=600.0 + 10 * seed,
            )
            evaluate(folder, {"value": 5.0 * beta + 0.31 * seed, "protocol": {"num": 2000}})
    make_run(tmp_path, seed=3, values={ELBO: 9e9}, status="failed", seconds=9e4, mib=9e5)
    return tmp_path


def cells_of(tab: Any) -> list[dict[str, str]]:
    """The groups' table as it reads, by column; `n = …` is told apart."""
    return tab.evaluate(
        """() => {
          const heads = [...document.querySelectorAll("#group-table th[scope=col]")];
          const texts = (row) => [...row.children].map((cell) => {
            cell.querySelectorAll("small").forEach((aside) => aside.remove());
            return cell.textContent;
          });
          return [...document.querySelectorAll("#group-table tbody tr")].map((row) =>
            Object.fromEntries(texts(row).map((text, i) => [heads[i].textContent, text])));
        }"""
    )


@pytest.mark.parametrize("value", ["best", "final"])
def test_groups(root: Path, open_page: Callable[..., Any], value: str) -> None:
    comparison = compared(root, metrics=METRICS, value=value)
    tab = open_page(payload(read_runs([root]), title="t"), fragment=f"#which={value}")
    shown = {(row["model"], row["loss.beta"]): row for row in cells_of(tab)}
    assert len(shown) == len(comparison.groups) == 4
    for group in comparison.groups:
        row = shown[group.keys["model"], str(group.keys["loss.beta"])]
        for metric in METRICS:
            found = group.values[metric]
            best = "best " if group.id in comparison.best.get(metric, ()) else ""
            told = "protocols differ"
            if found.mean is not None:
                told = best + words.measured(found.mean, found.error)
            assert row[metric] == told, (group.label, metric)
        assert group.seconds is not None
        assert float(row["Time"].removesuffix(" s")) == pytest.approx(group.seconds, abs=0.06)
        assert row["Memory"] == f"{group.peak_mib['process']:.0f} MiB"
    marked = {metric for metric, ids in comparison.best.items() if ids}
    assert marked == ({*METRICS} if value == "best" else {ELBO, "test/reconstruction_mse"})


def test_load_runs(root: Path) -> None:
    table = ganvas.load_runs(root)
    seeds = table[table.status == "finished"].groupby(["group", "seed"])
    for metric in METRICS:
        means = seeds[metric].mean(skipna=False).groupby("group")
        for group in compared(root, metrics=METRICS).groups:
            found = group.values[metric]
            assert (found.mean, found.count) == (
                pytest.approx(means.get_group(group.id).mean(skipna=False), nan_ok=True),
                means.get_group(group.id).size,
            )
            if found.error is not None:
                assert found.error == pytest.approx(means.get_group(group.id).sem(), abs=1e-12)
