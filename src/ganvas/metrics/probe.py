"""How well a linear classifier reads labels off codes."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, ShuffleSplit
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

MAX_ITERATIONS = 2000
LEAST = 10
"""Inputs: a fifth of them chooses C."""


def linear_probe(
    inputs: np.ndarray,
    labels: np.ndarray,
    *,
    test_inputs: np.ndarray,
    test_labels: np.ndarray,
    inverse_penalties: Sequence[float],
) -> float:
    """Accuracy of multinomial logistic regression on inputs that it was not fitted on, 0 to 1.

    Inputs are shifted and scaled to mean 0 and variance 1 over the fitted ones; then
    C · Σ_n −log p(y_n|z_n) + ½ ‖W‖² is minimised by L-BFGS from zero, with a free intercept. Of
    several C the first that is best on a fifth of the inputs, fitted on the others, is taken for a
    fit to all; that fifth is always the same, so nothing is random. The probe of Alain & Bengio
    2017 (arXiv:1610.01644), with a penalty.

    Args:
        inputs: codes or pixels to fit on, `(N, Z)`.
        labels: `(N,)`.
        test_inputs: `(M, Z)`.
        test_labels: `(M,)`.
        inverse_penalties: values of C, one or more.

    Raises:
        ValueError: if there are fewer than ten to fit on, or all of one class, or some not finite.
    """
    classes = len(np.unique(labels))
    if len(inputs) < LEAST or classes == 1:
        raise ValueError(
            f"a probe is fitted to at least {LEAST} images of two classes, got {len(inputs)} of "
            f"{classes}; give more images"
        )
    if not (np.isfinite(inputs).all() and np.isfinite(test_inputs).all()):
        raise ValueError("a probe needs finite inputs, got NaN or infinite ones")
    probe = make_pipeline(StandardScaler(), LogisticRegression(max_iter=MAX_ITERATIONS))
    grid = {"logisticregression__C": list(inverse_penalties)}
    held_out = ShuffleSplit(1, test_size=0.2, random_state=0)
    search = GridSearchCV(probe, grid, cv=held_out).fit(inputs.astype(np.float64), labels)
    return float((search.predict(test_inputs.astype(np.float64)) == test_labels).mean())


def majority_accuracy(labels: np.ndarray, test_labels: np.ndarray) -> float:
    """Accuracy of always naming the most frequent of `labels` `(N,)`, on `test_labels` `(M,)`."""
    values, counts = np.unique(labels, return_counts=True)
    return float((test_labels == values[counts.argmax()]).mean())


def binomial_error(accuracy: float, num: int) -> float:
    """Standard error √(p (1 − p) / N) of an accuracy found on `num` images."""
    return math.sqrt(accuracy * (1 - accuracy) / num)
