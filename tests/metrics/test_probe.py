"""The linear probe on codes whose answer is known."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import logsumexp

from ganvas.metrics.probe import binomial_error, linear_probe, majority_accuracy

CLASSES = 4


def labelled(num: int, *, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Normal vectors and random labels that have nothing to do with them."""
    random = np.random.default_rng(seed)
    return random.standard_normal((num, 6)), random.integers(CLASSES, size=num)


def probe(
    train: tuple[np.ndarray, np.ndarray],
    test: tuple[np.ndarray, np.ndarray],
    *,
    c: Sequence[float] = (1.0,),
) -> float:
    return linear_probe(*train, test_inputs=test[0], test_labels=test[1], inverse_penalties=c)


def shifted(sets: tuple[np.ndarray, np.ndarray], by: float) -> tuple[np.ndarray, np.ndarray]:
    """Classes moved apart along axes."""
    inputs, labels = sets
    return inputs + by * np.eye(6)[labels], labels


def test_separable_codes() -> None:
    train, test = (shifted(labelled(n, seed=n), by=20) for n in (200, 300))
    assert probe(train, test) == 1


def test_noise_is_at_chance() -> None:
    train, test = labelled(400, seed=1), labelled(4000, seed=2)
    assert probe(train, test) == pytest.approx(1 / CLASSES, abs=3 * binomial_error(0.25, 4000))


def test_permuted_labels_are_at_chance() -> None:
    train, test = shifted(labelled(400, seed=1), by=20), shifted(labelled(4000, seed=2), by=20)
    wrong = np.random.default_rng(3).permutation(test[1])
    assert probe(train, (test[0], wrong)) == pytest.approx(0.25, abs=3 * binomial_error(0.25, 4000))
    renamed = np.array([3, 0, 2, 1])
    other = probe((train[0], renamed[train[1]]), (test[0], renamed[test[1]]))
    assert other == probe(train, test) == 1


def test_shift_and_scale_do_not_matter() -> None:
    train, test = shifted(labelled(300, seed=1), by=1), shifted(labelled(500, seed=2), by=1)
    scale, shift = np.array([1e-3, 1, 5, 100, 2, 1e4]), np.arange(6)
    moved = [(x * scale + shift, y) for x, y in (train, test)]
    assert probe(*moved) == pytest.approx(probe(train, test), abs=2 / 500)
    assert 0.3 < probe(train, test) < 0.9


def test_a_constant_column_does_nothing() -> None:
    train, test = shifted(labelled(300, seed=1), by=1), shifted(labelled(500, seed=2), by=1)
    wider = [(np.hstack([x, np.full((len(x), 1), 7.0)]), y) for x, y in (train, test)]
    assert probe(*wider) == probe(train, test)


@pytest.mark.parametrize("c", [0.001, 1.0])
def test_the_objective_is_the_documented_one(c: float) -> None:
    """Predictions are those of scipy's minimum of C · Σ −log p + ½ ‖W‖²."""
    (x, y), (test_x, test_y) = shifted(labelled(120, seed=1), 1), shifted(labelled(500, seed=2), 1)
    mean, std = x.mean(0), x.std(0)
    x, seen = (x - mean) / std, (test_x - mean) / std

    def objective(flat: np.ndarray) -> float:
        weight, bias = flat[:-CLASSES].reshape(6, CLASSES), flat[-CLASSES:]
        logits = x @ weight + bias
        nll = logsumexp(logits, axis=1) - logits[np.arange(len(y)), y]
        return float(c * nll.sum() + 0.5 * (weight**2).sum())

    best = minimize(objective, np.zeros(7 * CLASSES), method="L-BFGS-B").x
    logits = seen @ best[:-CLASSES].reshape(6, CLASSES) + best[-CLASSES:]
    expected = float((logits.argmax(1) == test_y).mean())
    found = linear_probe(
        x * std + mean, y, test_inputs=test_x, test_labels=test_y, inverse_penalties=[c]
    )
    assert found == pytest.approx(expected, abs=2 / 500)


def test_the_best_of_several_penalties() -> None:
    """Half of the labels are drawn anew: fitting those in 150 dimensions costs accuracy."""
    random = np.random.default_rng(5)
    true, test_y = random.integers(2, size=300), random.integers(2, size=3000)
    y = np.where(random.random(300) < 0.5, true, random.integers(2, size=300))
    x, test_x = (random.standard_normal((len(z), 150)) + 0.5 * z[:, None] for z in (true, test_y))
    strong, weak, none = (probe((x, y), (test_x, test_y), c=[c]) for c in (1e-3, 1e3, 1e-12))
    assert strong > weak + 0.1
    assert strong > none + 0.1
    for order in ([1e3, 1e-3, 1e-12], [1e-12, 1e-3, 1e3]):
        assert probe((x, y), (test_x, test_y), c=order) == strong


def test_nothing_is_random() -> None:
    train, test = shifted(labelled(300, seed=1), by=1), shifted(labelled(500, seed=2), by=1)
    assert probe(train, test) == probe(train, test)


def test_majority() -> None:
    labels, test = np.array([2, 2, 5, 5, 5, 0]), np.array([5, 2, 0, 5])
    assert majority_accuracy(labels, test) == 0.5
    assert majority_accuracy(np.array([7]), test) == 0


def test_binomial_error() -> None:
    assert binomial_error(0.5, 100) == 0.05
    assert binomial_error(1.0, 100) == 0
    draws = np.random.default_rng(0).binomial(200, 0.9, size=5000) / 200
    assert binomial_error(0.9, 200) == pytest.approx(draws.std(), rel=0.03)
    assert math.isclose(binomial_error(0.2, 50), binomial_error(0.8, 50))
