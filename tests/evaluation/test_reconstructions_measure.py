"""Errors of reconstructions of models whose reconstructions are known."""

from __future__ import annotations

import hashlib
import json
import logging
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from evaluation.subjects import InMemory, extractor, image_data, random_images, subject
from ganvas.data import ImageData
from ganvas.errors import DataError
from ganvas.evaluation import reconstructions
from ganvas.evaluation.callback import take
from ganvas.evaluation.losses import LossMeasure
from ganvas.evaluation.reconstruction_distance import ReconstructionDistanceMeasure
from ganvas.evaluation.reconstructions import ReconstructionMeasure
from ganvas.metrics.frechet import frechet_distance
from ganvas.metrics.perceptual import LPIPS
from ganvas.metrics.reconstruction import ROUNDING_MSE
from ganvas.models.gan.gan import GAN
from ganvas.models.vae.vae import VAE
from ganvas.types import ImageShape, ValueRange
from metrics.backbones import random_alexnet
from models import linear_gaussian
from models.tiny import SHAPE, vae

OCTAGON = (1, 8, 8)
MEANS = {"mse_per_pixel", "mse_per_image", "psnr", "psnr_pooled", "ssim"}


class Shifts(nn.Module):
    """Reconstructs images plus a constant of [0, 1]."""

    def __init__(
        self, by: float, *, shape: ImageShape = OCTAGON, value_range: ValueRange = (0.0, 1.0)
    ) -> None:
        super().__init__()
        self.by, self.image_shape, self.value_range = by, shape, value_range
        self.device = torch.device("cpu")

    def reconstruct(self, x: Tensor) -> Tensor:
        low, high = self.value_range
        return x + (high - low) * self.by


class KnowsLabels(Shifts):
    """Its error is a tenth of the label."""

    num_classes = 3

    def class_labels(self, num: int) -> Tensor:
        return torch.arange(num) % 3

    def reconstruct(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        assert y is not None
        return x + 0.1 * y.view(-1, 1, 1, 1)


def images_of(shape: ImageShape, *, num: int = 20) -> ImageData:
    return image_data(InMemory(random_images(30, shape=shape), random_images(num, shape=shape)))


def measured(model: Any, data: ImageData, *, lpips: Any = False, **options: Any) -> dict[str, Any]:
    """Findings by name."""
    weights_dir = options.pop("weights_dir", None)
    one = subject(model, data, **options)
    one.weights_dir = weights_dir
    return dict(ReconstructionMeasure(lpips=lpips).measure(one))


def values(found: dict[str, Any]) -> dict[str, float]:
    return {name: finding.value for name, finding in found.items()}


@pytest.mark.parametrize("value_range", [(0.0, 1.0), (-1.0, 1.0)])
@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 12, 9)])
def test_a_constant_error(value_range: ValueRange, shape: ImageShape) -> None:
    found = measured(Shifts(0.1, shape=shape, value_range=value_range), images_of(shape))
    assert found.keys() == MEANS
    expected = {"mse_per_pixel": 0.01, "mse_per_image": 0.01 * math.prod(shape)}
    for name, value in {**expected, "psnr": 20.0, "psnr_pooled": 20.0}.items():
        assert found[name].value == pytest.approx(value, rel=1e-5)
        assert found[name].uncertainty == pytest.approx(0, abs=1e-5)


def test_a_perfect_model_has_finite_values() -> None:
    found = measured(Shifts(0), images_of(OCTAGON))
    assert found["psnr"].value == found["psnr_pooled"].value == pytest.approx(58.92, abs=0.01)
    assert (found["mse_per_pixel"].value, found["ssim"].value) == (0, pytest.approx(1))
    assert found["psnr"].protocol["least_mse"] == ROUNDING_MSE
    json.dumps({k: (v.value, v.uncertainty, dict(v.protocol)) for k, v in found.items()})


def test_a_conditional_model_is_told_labels() -> None:
    """A third of the images each: errors 0, 0.01 and 0.04."""
    found = measured(KnowsLabels(0), images_of(OCTAGON, num=21))
    assert found["mse_per_pixel"].value == pytest.approx(0.05 / 3, rel=1e-5)
    assert found["psnr"].value == pytest.approx((58.92 + 20 + 13.98) / 3, abs=0.01)
    assert found["psnr_pooled"].value == pytest.approx(-10 * math.log10(0.05 / 3), rel=1e-5)


def test_nothing_is_rounded_or_clamped() -> None:
    assert measured(Shifts(2e-4), images_of(OCTAGON))["mse_per_pixel"].value == pytest.approx(
        4e-8, rel=1e-3
    )
    assert measured(Shifts(3), images_of(OCTAGON))["mse_per_pixel"].value == pytest.approx(9)


@pytest.mark.parametrize("size", [1, 3, 7, 40])
def test_values_do_not_depend_on_batches(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ganvas.evaluation.subject.BLOCK", 16)
    data = image_data()
    whole = values(measured(vae(), data, batch_size=16))
    assert {"sampled_psnr", "psnr"} < whole.keys()
    assert values(measured(vae(), data, batch_size=size)) == pytest.approx(whole, rel=1e-6)


def test_the_summed_error_is_the_models_own() -> None:
    one, data = vae(), image_data()
    own = LossMeasure().measure(subject(one, data))["reconstruction_mse"].value
    assert values(measured(one, data))["mse_per_image"] == pytest.approx(own, rel=1e-6)


def test_samples_of_a_sharp_posterior_are_its_mean() -> None:
    one, data = vae(), image_data()
    found = values(measured(one, data))
    assert found["sampled_mse_per_image"] != pytest.approx(found["mse_per_image"], rel=1e-3)
    last = [layer for layer in one.encoder.modules() if isinstance(layer, nn.Linear)][-1]
    with torch.no_grad():
        last.weight[3:] = 0
        last.bias[3:] = -60
    found = values(measured(one, data))
    for name in ("mse_per_pixel", "mse_per_image", "psnr", "psnr_pooled"):
        assert found[f"sampled_{name}"] == pytest.approx(found[name], rel=1e-6)


def test_samples_of_a_linear_model() -> None:
    """E ‖x − W z − b‖² = ‖x − W μ − b‖² + Σ σ_j² ‖w_j‖²."""
    model = linear_gaussian.build(VAE, encoder_error=0.0, loss=None).float()
    images = np.random.default_rng(0).random((10000, *linear_gaussian.SHAPE)).astype(np.float32)
    found = measured(model, image_data(InMemory(images[:20], images)))
    posterior = model.posterior(torch.from_numpy(images[:1]))
    lengths = model.decoder[0].weight.square().sum(0)
    extra = (posterior.log_var.exp() * lengths).sum().item()
    added = found["sampled_mse_per_image"].value - found["mse_per_image"].value
    assert extra > 0.2
    assert abs(added - extra) < 4 * found["sampled_mse_per_image"].uncertainty < 0.1 * extra


def test_the_evaluations_seed_changes_samples_alone_and_the_runs_nothing() -> None:
    one, data, found = vae(), image_data(), []
    for run_seed, seed in ((0, 0), (3, 0), (0, 1)):
        one.seed = run_seed
        measures = {"reconstructions": ReconstructionMeasure(lpips=False)}
        found.append(values(take(measures, subject(one, data, seed=seed))))
        assert one.seed == run_seed
    assert found[0] == found[1]
    assert found[0]["psnr"] == found[2]["psnr"]
    assert found[0]["sampled_psnr"] != found[2]["sampled_psnr"]


def test_each_value_knows_what_it_depends_on() -> None:
    found = measured(Shifts(0.1), images_of(OCTAGON))
    assert {f.protocol["quantizer"] for f in found.values()} == {"none"}
    assert found["ssim"].protocol == {
        "quantizer": "none",
        "data_range": 1.0,
        "window": 7,
        "window_sigma": 1.5,
    }
    wide = measured(Shifts(0.1, shape=(1, 28, 28)), images_of((1, 28, 28)))
    assert wide["ssim"].protocol["window"] == 11


def test_ssim_is_left_out_of_small_images(caplog: pytest.LogCaptureFixture) -> None:
    measure, one = ReconstructionMeasure(lpips=False), subject(vae(), image_data())
    with caplog.at_level(logging.WARNING, logger="ganvas"):
        found = [measure.measure(one) for _ in range(2)]
    assert not {"ssim", "sampled_ssim"} & found[0].keys()
    assert caplog.messages == ["ssim is left out: it needs images of at least 7 pixels"]


@pytest.fixture
def weights_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with random weights, under a name that tells their hash."""
    file = random_alexnet(tmp_path / "alexnet")
    digits = hashlib.sha256(file.read_bytes()).hexdigest()[:8]
    file.rename(tmp_path / f"alexnet-{digits}.pth")
    monkeypatch.setattr(reconstructions, "BACKBONE", f"https://nowhere/alexnet-{digits}.pth")
    return tmp_path


@pytest.mark.parametrize("state", ["auto", True])
def test_lpips_where_its_backbone_is(weights_dir: Path, state: Any) -> None:
    data, model = images_of(OCTAGON, num=4), Shifts(0.2)
    found = measured(model, data, lpips=state, weights_dir=weights_dir)
    real = torch.from_numpy(random_images(4, shape=OCTAGON)).float() / 255
    network = LPIPS(next(weights_dir.glob("*.pth")))
    each = network(real, real + 0.2)
    assert found["lpips"].value == pytest.approx(each.mean().item(), rel=1e-5)
    assert found["lpips"].uncertainty == pytest.approx(each.std().item() / 2, rel=1e-4)
    assert len(found["lpips"].protocol["weights"]) == 64


def test_lpips_is_left_out_where_it_is_not(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, logger="ganvas"):
        found = measured(Shifts(0.2), images_of(OCTAGON), lpips="auto", weights_dir=tmp_path)
    assert found.keys() == MEANS
    (message,) = caplog.messages
    assert f"{tmp_path}/alexnet-owt-7be5be79.pth is missing" in message
    with pytest.raises(DataError, match="alexnet-owt-7be5be79"):
        measured(Shifts(0.2), images_of(OCTAGON), lpips=True, weights_dir=tmp_path)


def test_lpips_needs_one_or_three_channels(
    weights_dir: Path, caplog: pytest.LogCaptureFixture
) -> None:
    shape = (2, 8, 8)
    with caplog.at_level(logging.WARNING, logger="ganvas"):
        found = measured(Shifts(0, shape=shape), images_of(shape), lpips="auto")
    assert found.keys() == MEANS
    assert caplog.messages == ["lpips is left out: it needs images of 1 or 3 channels, got 2"]


def test_what_does_not_fit() -> None:
    points = images_of((2, 1, 1))
    for measure in (ReconstructionMeasure(lpips=False), ReconstructionDistanceMeasure()):
        assert measure.unfit(GAN, image_data()) == "reconstructs nothing"
        assert measure.unfit(VAE, image_data()) is None
    assert "points" in str(ReconstructionMeasure(lpips=False).unfit(VAE, points))
    assert ReconstructionDistanceMeasure().unfit(VAE, points) is None


def distance(model: Any, data: ImageData, **options: Any) -> Any:
    one = subject(model, data, **options)
    (found,) = ReconstructionDistanceMeasure().measure(one).items()
    assert found[0] == "reconstruction_fd_classifier"
    return found[1]


def test_the_distance_of_perfect_reconstructions_is_0() -> None:
    assert distance(Shifts(0, shape=SHAPE), image_data()).value == pytest.approx(0, abs=1e-4)
    assert distance(Shifts(0.2, shape=SHAPE), image_data()).value > 0.01


@pytest.mark.parametrize("reference", [None, "train"])
def test_the_distance_by_hand(reference: Any) -> None:
    """From the same images, whatever split samples are compared with."""
    model, network, data = Shifts(0.2, shape=SHAPE), extractor(), image_data()
    found = distance(model, data, num=30, reference=reference)
    real = torch.from_numpy(random_images(40, seed=2))[:30].float() / 255
    fake = ((real + 0.2) * 255).round().clamp(0, 255) / 255
    a, b = (network(x).vectors.double() for x in (real, fake))
    expected = frechet_distance(a.mean(0), torch.cov(a.T), b.mean(0), torch.cov(b.T)).item()
    assert found.value == pytest.approx(expected, rel=1e-5)
    assert (found.protocol["reference"], found.protocol["num"]) == ("test", 30)
    assert found.protocol["reference_images"] == data.content("test", num=30)


def test_the_distance_tells_how_many_images_there_were() -> None:
    found = distance(Shifts(0.2, shape=SHAPE), image_data(), num=50, reference="train")
    assert found.protocol["num"] == 40  # all of the test split
