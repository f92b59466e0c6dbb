"""Bits per dimension: which likelihoods have them, of which data, and what they are."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch.distributions import Normal

from evaluation.bounds import every_batch, found, gaussian, tiny, value
from evaluation.subjects import InMemory, image_data
from ganvas.evaluation import likelihood as module
from ganvas.nn.likelihoods import (
    ContinuousBernoulliLikelihood,
    DiscretizedLogisticLikelihood,
    GaussianLikelihood,
)
from models.tiny import SHAPE

PIXELS = math.prod(SHAPE)


def test_a_uniform_density_is_eight_bits() -> None:
    model = tiny(likelihood=ContinuousBernoulliLikelihood(margin=1e-4))
    for parameter in (*model.encoder.parameters(), *model.decoder.parameters()):
        parameter.data.zero_()
    got = found(model)
    assert value(got, "bits_per_dim") == pytest.approx(8, abs=1e-6)
    assert value(got) == pytest.approx(0, abs=1e-5)
    assert value(got, "effective_samples") == pytest.approx(20)


def test_a_gaussian_by_hand() -> None:
    """No code matters, so that p(x') = Π N(x'; sigmoid(b), σ²)."""
    model = tiny(likelihood=GaussianLikelihood(sigma=0.2, learn_sigma=False))
    for parameter in (*model.encoder.parameters(), *model.decoder.parameters()):
        parameter.data.zero_()
    model.decoder.layers[-1].bias.data.fill_(-0.5)
    batch = every_batch(model)
    got = found(model)
    density = Normal(torch.tensor(-0.5).sigmoid().double(), 0.2)
    noise = model.noise(batch, *SHAPE, use=module.DEQUANTIZING_USE).double()
    u = 0.5 * (1 + torch.erf(noise / math.sqrt(2)))
    pixels = (batch.x.double() * 255).round()
    per_cell = density.log_prob((pixels + u) / 256) - math.log(256)
    expected = -per_cell.mean().item() / math.log(2)
    assert value(got, "bits_per_dim") == pytest.approx(expected, abs=1e-5)
    on_data = density.log_prob(batch.x.double()).sum().item() / 40
    assert value(got) == pytest.approx(on_data, abs=1e-4)
    assert abs(u.mean() - 0.5) < 4 / math.sqrt(12 * u.numel())
    assert 0 < u.min() < 0.02
    assert 0.98 < u.max() < 1


def test_discrete_levels_need_no_noise() -> None:
    got = found(tiny(likelihood=DiscretizedLogisticLikelihood(scale=0.1)))
    expected = -value(got) / (PIXELS * math.log(2))
    assert value(got, "bits_per_dim") == pytest.approx(expected, rel=1e-12)
    assert got["bits_per_dim"].protocol["levels"] == 256
    assert got["mean_elbo"].protocol["log_prob"] == "probability"


def test_binary_pixels_have_bits_and_grey_ones_none() -> None:
    grey, binary = found(tiny()), found(tiny(), data=image_data(binarization="threshold"))
    assert "bits_per_dim" not in grey
    assert grey["mean_elbo"].protocol["log_prob"] == "neither"
    expected = -value(binary) / (PIXELS * math.log(2))
    assert value(binary, "bits_per_dim") == pytest.approx(expected, rel=1e-12)
    assert binary["bits_per_dim"].protocol["levels"] == 2
    assert binary["mean_elbo"].protocol["log_prob"] == "probability"


def test_floats_have_no_bits() -> None:
    points = np.random.default_rng(0).random((40, *SHAPE)).astype(np.float32)
    data = image_data(InMemory(train=points, test=points), val_size=0)
    got = found(gaussian(), data=data)
    assert "bits_per_dim" not in got
    assert got["mean_elbo"].protocol["log_prob"] == "density"
