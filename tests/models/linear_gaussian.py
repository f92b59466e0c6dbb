"""A linear-Gaussian model, whose likelihood and posterior are known exactly, in float64."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributions import MultivariateNormal

from ganvas.nn.likelihoods import Likelihood
from ganvas.types import ImageShape

SHAPE, PIXELS, WIDTH, SIGMA = (1, 2, 3), 6, 2, 0.5


class IdentityGaussian(Likelihood):
    """p(x|z) = N(x; outputs, σ² I), with no squashing of the mean."""

    def log_prob(self, x: Tensor, outputs: Tensor) -> Tensor:
        squared = (x - outputs).flatten(1).square().sum(1)
        return -0.5 * (squared / SIGMA**2 + PIXELS * math.log(2 * math.pi * SIGMA**2))

    def mean(self, outputs: Tensor) -> Tensor:
        return outputs


class LinearEncoder(nn.Sequential):
    def __init__(self, *, image_shape: ImageShape, num_outputs: int) -> None:
        super().__init__(nn.Flatten(), nn.Linear(math.prod(image_shape), num_outputs))


class LinearDecoder(nn.Sequential):
    def __init__(self, *, num_inputs: int, image_shape: ImageShape) -> None:
        layer = nn.Linear(num_inputs, math.prod(image_shape))
        super().__init__(layer, nn.Unflatten(1, image_shape))


def build(cls: type, *, encoder_error: float | None = None, **own: Any) -> Any:
    """A model of class `cls`, the same weights each time.

    Args:
        cls: `VAE` or another class with an encoder and a decoder.
        encoder_error: 0 gives the exact posterior; another number shifts its means by as many
            standard deviations and its log variances by as much; None: random weights.
        own: its further arguments.
    """
    torch.manual_seed(3)
    model = cls(
        image_shape=SHAPE,
        latent_dim=WIDTH,
        network={"encoder": LinearEncoder, "decoder": LinearDecoder},
        likelihood=IdentityGaussian(),
        optimizer=torch.optim.SGD,
        **own,
    ).double()
    if encoder_error is not None:
        with torch.no_grad():
            columns = torch.linalg.qr(torch.randn(PIXELS, WIDTH, dtype=torch.float64))[0]
            model.decoder[0].weight.copy_(columns * torch.tensor([0.7, 1.5]))
            make_exact(model, error=encoder_error)
    return model


def make_exact(model: Any, *, error: float) -> None:
    """The encoder gives p(z|x), a diagonal Gaussian as the decoder's columns are orthogonal."""
    weight, bias = model.decoder[0].weight, model.decoder[0].bias
    variance = 1 / (1 + weight.square().sum(0) / SIGMA**2)
    to_mean = variance[:, None] * weight.T / SIGMA**2
    encoder = model.encoder[1]
    encoder.weight.copy_(torch.cat([to_mean, torch.zeros_like(to_mean)]))
    encoder.bias.copy_(torch.cat([-to_mean @ bias + error * variance.sqrt(), variance.log()]))
    encoder.bias[WIDTH:] += error


def images(num: int) -> Tensor:
    """`num` images, not drawn from the model."""
    generator = torch.Generator().manual_seed(4)
    return torch.randn(num, *SHAPE, generator=generator, dtype=torch.float64)


def log_evidence(model: Any, x: Tensor) -> Tensor:
    """log p(x) = log N(x; b, W Wᵀ + σ² I), `(B,)`."""
    weight, bias = model.decoder[0].weight, model.decoder[0].bias
    covariance = weight @ weight.T + SIGMA**2 * torch.eye(PIXELS, dtype=torch.float64)
    return MultivariateNormal(bias, covariance).log_prob(x.flatten(1))


def true_posterior(model: Any, x: Tensor) -> MultivariateNormal:
    """p(z|x), by Bayes' rule for linear maps."""
    weight, bias = model.decoder[0].weight, model.decoder[0].bias
    precision = torch.eye(WIDTH, dtype=torch.float64) + weight.T @ weight / SIGMA**2
    mean = torch.linalg.solve(precision, weight.T @ (x.flatten(1) - bias).T / SIGMA**2).T
    return MultivariateNormal(mean, precision_matrix=precision)
