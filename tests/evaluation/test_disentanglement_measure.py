"""Disentanglement of codes on images whose pixels are their factors."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from evaluation.subjects import InMemory, image_data, subject
from ganvas.data.factors import factor_grid
from ganvas.errors import UnfitError
from ganvas.evaluation import disentanglement
from ganvas.evaluation.disentanglement import DisentanglementMeasure
from ganvas.metrics.dci import dci
from ganvas.metrics.factor_score import factor_score
from ganvas.models.gan.gan import GAN
from ganvas.models.vae.conditional import ConditionalVAE
from ganvas.models.vae.vae import VAE
from ganvas.types import Finding, Split
from models.test_conditional import conditional
from models.tiny import SHAPE, vae

SIZES = (3, 5, 4)
STEP = 40  # of a pixel, for one step of its factor


def images_of(factors: np.ndarray) -> np.ndarray:
    """uint8, the first pixels of which are the factors."""
    images = np.zeros((len(factors), *SHAPE), dtype=np.uint8)
    images[:, 0, 0, : factors.shape[1]] = STEP * factors
    return images


def mixed(*, seed: int, times: int = 6) -> np.ndarray:
    """Every combination `times` times, shuffled."""
    every = np.tile(factor_grid(SIZES), (times, 1))
    return np.random.default_rng(seed).permutation(every)


@dataclass
class Known(InMemory):
    """Images that tell their factors."""

    train: np.ndarray = field(default_factory=lambda: images_of(mixed(seed=1)))
    test: np.ndarray = field(default_factory=lambda: images_of(mixed(seed=2)))
    factor_names: tuple[str, ...] = ("a", "b", "c")
    factor_sizes: tuple[int, ...] = SIZES

    def factors(self, split: Split) -> np.ndarray:
        return mixed(seed=2 if split == "test" else 1)


def measure(**options: Any) -> DisentanglementMeasure:
    given = {
        "num_images": None,
        "num_bins": 20,
        "num_stages": 3,
        "train_votes": 200,
        "test_votes": 200,
        "group_size": 24,
        "least_std": 0.05,
    }
    return DisentanglementMeasure(**{**given, **options})


def pixels(x: Tensor) -> Tensor:
    """Codes that are the factors, from images in [0, 1]."""
    return x[:, 0, 0, : len(SIZES)] * 255 / STEP


def reading(encode: Any = pixels) -> VAE:
    """A model with other codes than its own."""
    model = vae()
    model.encode = encode  # type: ignore[method-assign]
    return model


def found(model: VAE, *, data: Any = None, split: Split = "test", **given: Any) -> dict[str, float]:
    data = data or image_data(Known(), val_size=50)  # type: ignore[arg-type]
    findings = measure().measure(subject(model, data, split=split, **given))
    return {name: finding.value for name, finding in findings.items()}


@pytest.mark.parametrize("split", ["test", "val", "train"])
def test_codes_equal_to_the_factors_reach_every_ceiling(split: Split) -> None:
    """Factors and codes are of the same images, in the same order, in each split."""
    values = found(reading(), split=split)
    names = DisentanglementMeasure.directions
    assert {name: values[name] for name in names} == {
        name: values[f"{name}_ceiling"] for name in names
    }
    assert values["dci_informativeness"] == values["factor_vae_score"] == 1
    assert values["dci_disentanglement"] == pytest.approx(1, abs=1e-6)
    if split == "test":  # every combination as often
        assert values["mig"] == pytest.approx(1, abs=1e-12)
    else:
        assert 0.5 < values["mig"] < 1


def test_noise_is_far_below() -> None:
    generator = torch.Generator().manual_seed(0)
    values = found(reading(lambda x: torch.randn(len(x), 4, generator=generator)))
    assert values["mig"] < 0.1
    assert values["dci_disentanglement"] < 0.3
    assert values["dci_informativeness"] == pytest.approx(
        values["dci_informativeness_chance"], abs=0.1
    )
    assert values["factor_vae_score_chance"] == pytest.approx(1 / 3)
    assert values["factor_vae_score"] < 0.65
    assert values["mig_ceiling"] == pytest.approx(1, abs=1e-12)


def test_nothing_depends_on_the_batch_size() -> None:
    model = reading(lambda x: pixels(x) @ torch.tensor([[1.0, 0.3], [-0.4, 1.0], [0.5, 0.5]]))
    assert found(model) == found(model, batch_size=7) != found(reading())


def test_protocols_and_errors() -> None:
    data = image_data(Known(), val_size=50)  # type: ignore[arg-type]
    findings = measure(num_images=100).measure(subject(reading(), data))
    everywhere = {"num_images": 100, "images": data.content("test", num=100)}
    votes = {"train_votes": 200, "test_votes": 200, "group_size": 24, "least_std": 0.05}
    assert findings["mig"].protocol == {**everywhere, "num_bins": 20}
    assert findings["mig_ceiling"].protocol == findings["mig"].protocol
    assert findings["factor_vae_score"].protocol == {**everywhere, **votes}
    assert findings["dci_completeness"].protocol == {
        **everywhere,
        "num_stages": 3,
        "estimator": "gradient-boosted trees of depth 3",
    }
    assert all(math.isfinite(f.value) for f in findings.values())
    assert findings["factor_vae_score"].uncertainty == 0


def test_scores_are_those_of_the_seed() -> None:
    data = image_data(Known(), val_size=50)  # type: ignore[arg-type]
    model = reading(lambda x: pixels(x) @ torch.tensor([[1.0, 0.3], [-0.4, 1.0], [0.5, 0.5]]))
    factors = torch.from_numpy(mixed(seed=2))
    codes = model.encode(torch.from_numpy(images_of(mixed(seed=2))).float() / 255)
    seen = []
    for seed in (0, 1):
        findings = measure().measure(subject(model, data, seed=seed))
        trees = dci(codes, factors, num_stages=3, seed=seed)
        votes = factor_score(
            codes,
            factors,
            train_votes=200,
            test_votes=200,
            group_size=24,
            least_std=0.05,
            seed=seed,
        )
        informative, voted = findings["dci_informativeness"], findings["factor_vae_score"]
        error = trees.informativeness_error
        assert (informative.value, informative.uncertainty) == (trees.informativeness, error)
        assert findings["dci_informativeness_chance"].value == trees.chance
        assert (voted.value, voted.uncertainty) == (votes.accuracy, votes.error)
        seen.append((informative.value, voted.value))
    assert seen[0] != seen[1]


def test_ceilings_are_found_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """At each validation they are the same; another split or seed has its own."""
    calls: list[int] = []
    original = DisentanglementMeasure._scores

    def counting(self: Any, *args: Any, **given: Any) -> dict[str, Finding]:
        calls.append(len(args[0]))
        return original(self, *args, **given)

    monkeypatch.setattr(DisentanglementMeasure, "_scores", counting)
    one, data = measure(), image_data(Known(), val_size=50)  # type: ignore[arg-type]
    for split, seed in (("test", 0), ("test", 0), ("val", 0), ("val", 1)):
        one.measure(subject(reading(), data, split=split, seed=seed))  # type: ignore[arg-type]
    assert calls == [360, 360, 360, 50, 50, 50, 50]


def test_a_conditional_model_is_given_labels() -> None:
    model = conditional()
    labels: list[Tensor] = []

    def encode(x: Tensor, y: Tensor) -> Tensor:
        labels.append(y)
        return pixels(x)

    model.encode = encode  # type: ignore[method-assign,assignment]
    assert found(model)["mig"] == pytest.approx(1, abs=1e-12)
    assert torch.equal(torch.cat(labels), torch.arange(360) % 3)


def test_codes_too_wide_for_trees_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disentanglement, "MOST_CODES", 2)
    with pytest.raises(UnfitError, match="at most 2, got 3; leave disentanglement out"):
        found(reading())


def test_what_can_not_be_scored_is_told_without_data() -> None:
    known, unknown = image_data(Known()), image_data()  # type: ignore[arg-type]
    one = measure()
    assert one.unfit(VAE, known) is None
    assert one.unfit(ConditionalVAE, known) is None
    assert one.unfit(GAN, known) == "has no encoder"
    assert "whose factors are not known" in str(one.unfit(VAE, unknown))


def test_one_image_is_refused() -> None:
    with pytest.raises(ValueError, match="num_images must be at least 2, got 1"):
        measure(num_images=1)
