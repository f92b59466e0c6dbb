"""Models whose codes and images are spread, and what the measure of likelihood finds of them."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch

from evaluation.subjects import subject
from ganvas.evaluation.likelihood import Importance, LikelihoodMeasure
from ganvas.losses.elbo import ElboLoss
from ganvas.metrics.likelihood import ImportanceSums
from ganvas.models.vae.conditional import ConditionalVAE
from ganvas.models.vae.vae import VAE
from ganvas.models.vae.vamp import VampVAE
from ganvas.nn.dense import DenseDecoder, DenseEncoder
from ganvas.nn.likelihoods import BernoulliLikelihood, GaussianLikelihood, Likelihood
from ganvas.types import Batch, Finding
from models.tiny import SHAPE, sgd

ELBO = {"beta": 1.0, "reconstruction_weight": 1.0}


def tiny(cls: type = VAE, *, likelihood: Likelihood | None = None, **own: Any) -> Any:
    """With weights that spread codes and images."""
    torch.manual_seed(1)
    model = cls(
        image_shape=SHAPE,
        latent_dim=3,
        network={
            "encoder": partial(DenseEncoder, hidden=[8]),
            "decoder": partial(DenseDecoder, hidden=[8]),
        },
        likelihood=likelihood or BernoulliLikelihood(),
        loss=ElboLoss(**ELBO),
        optimizer=sgd,
        **own,
    )
    for parameter in (*model.encoder.parameters(), *model.decoder.parameters()):
        parameter.data *= 3
    return model


def vamp() -> VampVAE:
    return tiny(VampVAE, num_pseudo_inputs=5, pseudo_input_mean=0.5, pseudo_input_std=0.3)


def gaussian() -> VAE:
    return tiny(likelihood=GaussianLikelihood(sigma=0.1, learn_sigma=False))


def conditional() -> ConditionalVAE:
    return tiny(ConditionalVAE, num_classes=3)


def sums(model: Any, batch: Batch, num: int) -> ImportanceSums:
    with torch.no_grad():
        return Importance(model.eval(), num)(batch)[1]


def found(
    model: Any, *, codes: int = 20, num_images: int | None = None, data: Any = None, **options: Any
) -> dict[str, Finding]:
    measure = LikelihoodMeasure(num_samples=codes, num_images=num_images)
    return dict(measure.measure(subject(model, data, **options)))


def value(findings: dict[str, Finding], name: str = "log_likelihood_bound") -> float:
    return findings[name].value


def every_batch(model: Any) -> Batch:
    """The 40 test images, which are one block."""
    return next(iter(subject(model).batches()))
