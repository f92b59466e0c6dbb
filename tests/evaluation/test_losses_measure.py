"""Losses: what they depend on, and which of them compare."""

from __future__ import annotations

from functools import partial

import torch

from evaluation.subjects import subject
from ganvas.evaluation.losses import LossMeasure
from ganvas.losses.mmd import RBFKernel
from ganvas.losses.reconstruction import SquaredError
from ganvas.models.autoencoder.wae import WAE
from ganvas.nn.dense import DenseDecoder, DenseEncoder
from ganvas.nn.likelihoods import ContinuousBernoulliLikelihood
from models.tiny import SHAPE, sgd, vae


def wae() -> WAE:
    torch.manual_seed(1)
    network = {
        "encoder": partial(DenseEncoder, hidden=[8]),
        "decoder": partial(DenseDecoder, hidden=[8]),
    }
    return WAE(
        image_shape=SHAPE,
        latent_dim=3,
        network=network,
        loss=SquaredError(),
        mmd_weight=10.0,
        kernel=RBFKernel(bandwidth=1.0),
        optimizer=sgd,
    )


def test_losses_of_a_batch_as_a_whole_do_not_depend_on_its_size() -> None:
    """The MMD of two images is another one than that of 40."""
    small, large = (LossMeasure().measure(subject(wae(), batch_size=size)) for size in (2, 40))
    assert "mmd" in small
    assert small == large


def test_a_density_of_images_is_not_compared_with_a_probability() -> None:
    density, none = vae(), vae()
    density.likelihood = ContinuousBernoulliLikelihood(margin=0.01)
    first, second = (LossMeasure().measure(subject(model)) for model in (density, none))
    assert first["elbo"].protocol["log_prob"] == "density"
    assert second["elbo"].protocol["log_prob"] == "neither"  # binary, of grey pixels
    assert first["reconstruction_mse"].protocol == {}
