"""Dimensions of a code: where their values lie, and how much each says of images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ganvas.latent.scene import finite
from ganvas.protocols import Encodes, HasPosterior, labels_for

if TYPE_CHECKING:
    from ganvas.latent.scene import Codes, Scene
    from ganvas.types import Batch

NUM_NOISE, NUM_CODES = 16, 4096
"""Random codes that an effect is the mean over; that moments of a prior are estimated from."""


@dataclass(frozen=True)
class Axes:
    """The dimensions j of codes `(N, Z)`.

    Attributes:
        mean: m_j `(Z,)`, float64 on the CPU as all that follows.
        std: σ_j `(Z,)`.
        weight: how much each says of images, `(Z,)`.
        kind: of weight: "rate", "variance" or "effect".
        of: whose mean and σ these are, as in "the prior's".
        words: what weight and σ are, for a reader of the picture.
    """

    mean: Tensor
    std: Tensor
    weight: Tensor
    kind: str
    of: str
    words: tuple[str, ...]

    @property
    def order(self) -> Tensor:
        """Dimensions, the largest weight first; equal ones by their number."""
        return self.weight.argsort(descending=True, stable=True)

    @property
    def sums(self) -> bool:
        """Whether weights of several dimensions may be added."""
        return self.kind != "effect"

    def at(self, t: Tensor) -> Tensor:
        """m_j + t σ_j, `(Z, T)`, for t `(T,)`."""
        return self.mean[:, None] + t.double() * self.std[:, None]

    def places(self, z: Tensor) -> Tensor:
        """The t at which a code `(Z,)` lies, `(Z,)`; NaN where σ_j is 0."""
        away = z.double().cpu() - self.mean
        return torch.where(self.std > 0, away / self.std, torch.nan)

    def said(self, j: int) -> str:
        """The weight of one dimension in words."""
        value = self.weight[j].item()
        if self.kind == "rate":
            return f"{value:.2f} nats"
        return f"{self.kind} " + (f"{value:.3f}" if self.kind == "effect" else f"{value:.3g}")

    def share(self, dims: Tensor) -> str:
        """What some dimensions are of all, in words."""
        text = f"{len(dims)} of {len(self.weight)} dimensions are shown"
        if not self.sums:
            return text
        some, every = self.weight[dims].sum().item(), self.weight.sum().item()
        unit = "nats" if self.kind == "rate" else "in all codes' variance"
        return f"{text}, with {some:.3g} of {every:.3g} {unit}"


def axes_of(scene: Scene, *, reach: float, num: int | None) -> Axes:
    """The dimensions of a model's codes.

    Args:
        scene: the model and its data.
        reach: σ to both sides that an effect is measured between.
        num: first images of the split that are encoded; None for all.

    Raises:
        ValueError: fewer than two images in the split.
    """
    model = scene.view.module
    if not isinstance(model, Encodes):
        return _of_noise(scene, reach=reach)
    split = scene.request.split
    there = scene.data.counts[split]
    if there < 2:  # noqa: PLR2004
        raise ValueError(
            f"split={split} must have at least 2 images, got {there}; choose another split"
        )
    images = f"{min(num or there, there):,} {split} images"
    found = _encoded(scene, num=num)
    if isinstance(model, HasPosterior):
        return _of_posteriors(found, normal=model.standard_normal_prior, images=images)
    return _of_codes(found["z"], normal=model.standard_normal_prior, images=images)


def _encoded(scene: Scene, *, num: int | None) -> dict[str, Tensor]:
    """Of each image its code z, or mu and log_var of q(z|x), `(N, Z)` in float64."""
    model = scene.view.module

    def encode(batch: Batch) -> dict[str, Tensor]:
        labels = labels_for(model, batch.y)
        if isinstance(model, HasPosterior):
            q = model.posterior(batch.x, **labels)
            return {"mu": q.mu, "log_var": q.log_var}
        assert isinstance(model, Encodes)
        return {"z": model.encode(batch.x, **labels)}

    found = scene.subject.collect(encode, scene.subject.batches(scene.request.split, num=num))
    return {name: finite(values, what="codes").double() for name, values in found.items()}


def _of_posteriors(found: dict[str, Tensor], *, normal: bool, images: str) -> Axes:
    """By rate: KL(q(z_j|x) ‖ N(m_j, σ_j²)) in nats, mean over images.

    m_j = 0 and σ_j = 1 where the prior is N(0, I). Another prior need not be a product over
    dimensions: then mean and variance are those of the aggregate posterior, whose j-th marginal
    is nearest to N(m_j, σ_j²) among Gaussians, so that the rate is the least that one can have.
    """
    mu, var = found["mu"], found["log_var"].exp()
    if normal:
        mean, std = torch.zeros_like(mu[0]), torch.ones_like(mu[0])
        prior, why = "N(0, 1)", "σ = 1, that of the prior N(0, 1)"
    else:
        mean, std = mu.mean(0), (mu.var(0, correction=0) + var.mean(0)).sqrt()
        prior, why = "N(m_j, σ_j²)", f"m_j and σ_j: of codes drawn from q(z|x) of {images}"
    kl = 0.5 * (((mu - mean).square() + var) / std.square() - 1 - found["log_var"]) + std.log()
    words = f"ordered by rate: KL(q(z_j|x) ‖ {prior}), mean over {images}"
    of = "the prior's" if normal else "the codes'"
    return Axes(mean, std, kl.mean(0), "rate", of, (words, why))


def _of_codes(z: Tensor, *, normal: bool, images: str) -> Axes:
    """By variance."""
    variance = z.var(0, correction=0)
    words = f"ordered by variance of the codes of {images}, which have no q(z|x) and so no rate"
    if normal:
        why = "σ = 1, that of the prior N(0, 1)"
        mean, std, of = torch.zeros_like(z[0]), torch.ones_like(z[0]), "the prior's"
    else:
        why = "σ_j: standard deviation of these codes, around their mean"
        mean, std, of = z.mean(0), variance.sqrt(), "the codes'"
    return Axes(mean, std, variance, "variance", of, (words, why))


def _of_noise(scene: Scene, *, reach: float) -> Axes:
    """By effect: mean |x(m_j + r σ_j) − x(m_j − r σ_j)| over pixels and random codes."""
    if scene.view.module.standard_normal_prior:
        width = scene.noise(1).z.shape[1]
        mean, std = torch.zeros(width).double(), torch.ones(width).double()
        why = "σ = 1, that of the prior N(0, 1)"
    else:
        drawn = scene.noise(NUM_CODES).z.double().cpu()
        mean, std = drawn.mean(0), drawn.std(0)
        why = f"σ_j: standard deviation of {NUM_CODES:,} codes of the prior, around their mean"
    effect = _effect(scene, scene.noise(NUM_NOISE), mean + reach * std, mean - reach * std)
    words = (
        f"ordered by effect: how much a pixel in [0, 1] changes from −{reach:g} σ to +{reach:g} σ, "
        f"mean over pixels and {NUM_NOISE} random codes; without an encoder there is no rate"
    )
    return Axes(mean, std, effect, "effect", "the prior's", (words, why))


def _effect(scene: Scene, noise: Codes, high: Tensor, low: Tensor) -> Tensor:
    """Mean |x(high_j) − x(low_j)| over pixels and codes `(N, Z)`, in which only z_j is changed."""
    total = torch.zeros_like(high)
    for i, z in enumerate(noise.z):
        y = None if noise.y is None else noise.y[i].expand(len(z))
        same = z.expand(len(z), -1)
        ends = [scene.decode(same.diagonal_scatter(end.to(z)), y) for end in (high, low)]
        total += (ends[0] - ends[1]).abs().double().flatten(1).mean(1)
    return total / len(noise.z)
