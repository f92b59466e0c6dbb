"""What keeps a critic smooth: penalties on its gradients, and clipped weights.

Gradients are with respect to images, and their norm is that of one image's gradient over all of
its axes. A model takes any number of these by name and sums them.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from contextlib import nullcontext
from typing import TYPE_CHECKING, ClassVar

import torch

from ganvas.losses.weights import check_weights

if TYPE_CHECKING:
    from torch import Tensor, nn

    from ganvas.types import LossTerms

Critic = Callable[["Tensor"], "Tensor"]
"""Images `(B, C, H, W)` to logits `(B,)`, not compiled: its backward is differentiated."""
Draw = Callable[..., "Tensor"]
"""`draw(*size)`: uniform noise in [0, 1), `(B, *size)`."""


class Penalty:
    """Base without effect: a term of the critic's loss, or what is done to its weights.

    Attributes:
        of_single_images: whether it takes for granted that the critic judges each image by
            itself, as one with batch normalisation does not.
    """

    of_single_images: ClassVar[bool] = True

    def add_to(
        self,
        terms: LossTerms,
        name: str,
        *,
        critic: Critic,
        real: Tensor,
        fake: Tensor,
        draw: Draw,
        step: int | None,
    ) -> LossTerms:
        """The critic's terms with this one added under `name`.

        Args:
            terms: so far.
            name: of the part.
            critic: whose gradients are penalised.
            real: images `(B, C, H, W)`.
            fake: images `(B, C, H, W)`, without gradient.
            draw: uniform noise of this batch.
            step: critic steps taken; None in evaluation, where nothing is left out.
        """
        del name, critic, real, fake, draw, step
        return terms

    def constrain(self, critic: nn.Module) -> None:
        """Called once the critic is built, and after each of its steps."""


class GradientNorm(Penalty):
    """Abstract: weight · (mean over images of a function of the gradient's norm).

    Lazily (Karras et al. 2020, arXiv:1912.04958, sec. 3.1): every `interval`-th critic step, times
    `interval`, so the expected gradient is that of every step.

    Args:
        weight: of the penalty.
        interval: critic steps from one application to the next.

    Raises:
        ValueError: if the weight is below 0, or the interval below 1.
    """

    def __init__(self, *, weight: float, interval: int) -> None:
        check_weights(weight=weight)
        if interval < 1:
            raise ValueError(f"interval must be at least 1 critic step, got {interval}")
        self.weight, self.interval = weight, interval

    @abstractmethod
    def __call__(self, critic: Critic, real: Tensor, fake: Tensor, *, draw: Draw) -> Tensor:
        """The bare penalty of each image, `(B,)`, differentiable in the critic's weights."""

    def add_to(
        self,
        terms: LossTerms,
        name: str,
        *,
        critic: Critic,
        real: Tensor,
        fake: Tensor,
        draw: Draw,
        step: int | None,
    ) -> LossTerms:
        """See `Penalty`; the part is the bare mean."""
        if step is not None and step % self.interval:
            return terms
        times = 1 if step is None else self.interval
        value = self(critic, real, fake, draw=draw).mean()
        return terms.plus(name, value, weight=times * self.weight)


class GradientPenalty(GradientNorm):
    """(‖∇D(x̂)‖ − 1)², x̂ = x + u · (G(z) − x), one u ~ U(0, 1) an image (Gulrajani et al. 2017).

    arXiv:1704.00028, eq. 3 (λ = 10 there; what they write ε is 1 − u).
    """

    def __call__(self, critic: Critic, real: Tensor, fake: Tensor, *, draw: Draw) -> Tensor:
        """See the class; `(B,)`."""
        between = real + draw(1, 1, 1) * (fake - real)
        return (image_gradients(critic, between).norm(dim=1) - 1).square()


class R1(GradientNorm):
    """½ ‖∇D(x)‖² at real images (Mescheder et al. 2018, arXiv:1801.04406, eq. 9); weight is γ."""

    def __call__(self, critic: Critic, real: Tensor, fake: Tensor, *, draw: Draw) -> Tensor:
        """See the class; `(B,)`."""
        return 0.5 * image_gradients(critic, real).square().sum(1)


class R2(GradientNorm):
    """½ ‖∇D(G(z))‖² at fake images (Mescheder et al. 2018, arXiv:1801.04406, eq. 10)."""

    def __call__(self, critic: Critic, real: Tensor, fake: Tensor, *, draw: Draw) -> Tensor:
        """See the class; `(B,)`."""
        return 0.5 * image_gradients(critic, fake).square().sum(1)


class Dragan(GradientNorm):
    """(‖∇D(x̂)‖ − 1)² around real images (Kodali et al. 2017, arXiv:1705.07215, sec. 2.3).

    x̂ = x + u · δ with u ~ U(0, 1) for each image and δ ~ scale · std(x) · U(0, 1) for each pixel,
    as in the authors' code; std(x) is one number, over the pixels of this rank's batch.

    Args:
        weight: of the penalty.
        interval: critic steps from one application to the next.
        scale: of the perturbation, in standard deviations of the images.

    Raises:
        ValueError: if weight or scale is below 0, or the interval below 1.
    """

    def __init__(self, *, weight: float, interval: int, scale: float) -> None:
        super().__init__(weight=weight, interval=interval)
        check_weights(scale=scale)
        self.scale = scale

    def __call__(self, critic: Critic, real: Tensor, fake: Tensor, *, draw: Draw) -> Tensor:
        """See the class; `(B,)`."""
        moved = self.scale * real.std(correction=0) * draw(*real.shape[1:])
        return (image_gradients(critic, real + draw(1, 1, 1) * moved).norm(dim=1) - 1).square()


class WeightClipping(Penalty):
    """Every weight of the critic is cut to [−c, c] after each step (Arjovsky et al. 2017, alg. 1).

    Before the first step too, as in the authors' code. Normalisation's scales count as weights.

    Args:
        limit: c.

    Raises:
        ValueError: if the limit is not positive.
    """

    of_single_images: ClassVar[bool] = False

    def __init__(self, *, limit: float) -> None:
        if not limit > 0:
            raise ValueError(f"limit must be positive, got {limit}")
        self.limit = limit

    @torch.no_grad()
    def constrain(self, critic: nn.Module) -> None:
        """See the class."""
        for weights in critic.parameters():
            weights.clamp_(-self.limit, self.limit)


def image_gradients(critic: Critic, images: Tensor) -> Tensor:
    """∇D at each of the images `(B, C, H, W)`, flat, `(B, C·H·W)`, differentiable once more.

    In full precision, also under autocast: in half precision an image's gradient underflows,
    since no loss scale is on it.
    """
    images = images.detach().to(torch.promote_types(images.dtype, torch.float32)).requires_grad_()
    full = nullcontext() if images.is_meta else torch.autocast(images.device.type, enabled=False)
    with torch.enable_grad(), full:
        (gradients,) = torch.autograd.grad(critic(images).sum(), images, create_graph=True)
    return gradients.flatten(1)
