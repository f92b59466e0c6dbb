"""Adversarial losses: pure functions of the critic's logits, one value per sample."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar

from torch.nn.functional import relu, softplus

if TYPE_CHECKING:
    from torch import Tensor


class AdversarialLoss(ABC):
    """Abstract: what critic and generator minimise, given logits `(B,)` of real and fake images.

    Attributes:
        compares: whether the generator's loss looks at real logits; they are made only then.
    """

    compares: ClassVar[bool] = False

    @abstractmethod
    def critic(self, real_logits: Tensor, fake_logits: Tensor) -> Tensor:
        """The critic's loss for each pair of a real and a fake image, `(B,)`."""

    @abstractmethod
    def generator(self, real_logits: Tensor | None, fake_logits: Tensor) -> Tensor:
        """The generator's loss for each fake image, `(B,)`; real logits where it `compares`."""

    def boundary(self, real_logits: Tensor, fake_logits: Tensor) -> Tensor | float:
        """The logit above which the critic calls an image real: halfway between the two means."""
        return 0.5 * (real_logits.mean() + fake_logits.mean())


class LabelLoss(AdversarialLoss):
    """Abstract: the critic's loss is a sum of one term for each image, by its label.

    So an image may be given a label between real and fake (`ganvas.losses.labels`).
    """

    @abstractmethod
    def real(self, logits: Tensor) -> Tensor:
        """What the critic pays for images that are called real, `(B,)`."""

    @abstractmethod
    def fake(self, logits: Tensor) -> Tensor:
        """What the critic pays for images that are called fake, `(B,)`."""

    def critic(self, real_logits: Tensor, fake_logits: Tensor) -> Tensor:
        """The sum of both, `(B,)`."""
        return self.real(real_logits) + self.fake(fake_logits)


class MinimaxLoss(LabelLoss):
    """The original game (Goodfellow et al. 2014, eq. 1), with D = sigmoid(logits).

    Critic: −½ log D(x) − ½ log(1 − D(G(z))). Generator: its negative, of which only
    ½ log(1 − D(G(z))) depends on G. It saturates while the critic wins: kept for comparison.
    The ½ is that of Goodfellow 2016 (arXiv:1701.00160, eqs. 8 and 10).
    """

    def real(self, logits: Tensor) -> Tensor:
        """−½ log D; `(B,)` nats."""
        return 0.5 * softplus(-logits)

    def fake(self, logits: Tensor) -> Tensor:
        """−½ log(1 − D); `(B,)` nats."""
        return 0.5 * softplus(logits)

    def generator(self, real_logits: Tensor | None, fake_logits: Tensor) -> Tensor:
        """½ log(1 − D(G(z))); `(B,)` nats."""
        del real_logits
        return -0.5 * softplus(fake_logits)

    def boundary(self, real_logits: Tensor, fake_logits: Tensor) -> Tensor | float:
        """D = ½ at logit 0."""
        return 0.0


class NonSaturatingLoss(LabelLoss):
    """The generator maximises log D(G(z)) instead (Goodfellow et al. 2014, sec. 3).

    Critic: −log D(x) − log(1 − D(G(z))). Generator: −log D(G(z)). No factors of ½, as is usual.
    """

    def real(self, logits: Tensor) -> Tensor:
        """−log D; `(B,)` nats."""
        return softplus(-logits)

    def fake(self, logits: Tensor) -> Tensor:
        """−log(1 − D); `(B,)` nats."""
        return softplus(logits)

    def generator(self, real_logits: Tensor | None, fake_logits: Tensor) -> Tensor:
        """−log D(G(z)); `(B,)` nats."""
        del real_logits
        return softplus(-fake_logits)

    def boundary(self, real_logits: Tensor, fake_logits: Tensor) -> Tensor | float:
        """D = ½ at logit 0."""
        return 0.0


class LeastSquaresLoss(LabelLoss):
    """Squared distances from labels a (fake), b (real), c (wanted) (Mao et al. 2017).

    arXiv:1611.04076, eq. 2. Critic: ½ (D(x) − b)² + ½ (D(G(z)) − a)². Generator:
    ½ (D(G(z)) − c)². With b − c = 1 and b − a = 2 it minimises a Pearson χ² divergence (sec. 3.2).

    Args:
        a: label of fake images.
        b: label of real images.
        c: label that the generator wants for its images.

    Raises:
        ValueError: if a and b are equal.
    """

    def __init__(self, *, a: float, b: float, c: float) -> None:
        if a == b:
            raise ValueError(f"b must differ from a, the label of fake images, got {b} for both")
        self.a, self.b, self.c = a, b, c

    def real(self, logits: Tensor) -> Tensor:
        """½ (D − b)², `(B,)`."""
        return 0.5 * (logits - self.b).square()

    def fake(self, logits: Tensor) -> Tensor:
        """½ (D − a)², `(B,)`."""
        return 0.5 * (logits - self.a).square()

    def generator(self, real_logits: Tensor | None, fake_logits: Tensor) -> Tensor:
        """½ (D(G(z)) − c)², `(B,)`."""
        del real_logits
        return 0.5 * (fake_logits - self.c).square()

    def boundary(self, real_logits: Tensor, fake_logits: Tensor) -> Tensor | float:
        """Halfway between the labels."""
        return 0.5 * (self.a + self.b)


class WassersteinLoss(LabelLoss):
    """Critic: D(G(z)) − D(x). Generator: −D(G(z)) (Arjovsky et al. 2017, arXiv:1701.07875, alg. 1).

    An estimate of the distance only while the critic is Lipschitz: pair it with
    `penalty=gradient_penalty`, `penalty=weight_clipping` or spectral normalisation.
    """

    def real(self, logits: Tensor) -> Tensor:
        """−D, `(B,)`."""
        return -logits

    def fake(self, logits: Tensor) -> Tensor:
        """D, `(B,)`."""
        return logits

    def generator(self, real_logits: Tensor | None, fake_logits: Tensor) -> Tensor:
        """−D(G(z)), `(B,)`."""
        del real_logits
        return -fake_logits


class HingeLoss(LabelLoss):
    """Critic: max(0, 1 − D(x)) + max(0, 1 + D(G(z))). Generator: −D(G(z)) (Lim & Ye 2017).

    arXiv:1705.02894; the form of Miyato et al. 2018 (arXiv:1802.05957, eqs. 16 and 17).
    """

    def real(self, logits: Tensor) -> Tensor:
        """max(0, 1 − D), `(B,)`."""
        return relu(1 - logits)

    def fake(self, logits: Tensor) -> Tensor:
        """max(0, 1 + D), `(B,)`."""
        return relu(1 + logits)

    def generator(self, real_logits: Tensor | None, fake_logits: Tensor) -> Tensor:
        """−D(G(z)), `(B,)`."""
        del real_logits
        return -fake_logits

    def boundary(self, real_logits: Tensor, fake_logits: Tensor) -> Tensor | float:
        """The middle of the margin."""
        return 0.0


class RelativisticLoss(AdversarialLoss):
    """Each real image is compared with one fake image (Jolicoeur-Martineau 2019, RpGAN).

    arXiv:1807.00734; the pairing and loss of R3GAN (Huang et al. 2024, arXiv:2501.05441, eq. 2).
    Critic: softplus(D(G(z)) − D(x)). Generator: softplus(D(x) − D(G(z))).
    """

    compares: ClassVar[bool] = True

    def critic(self, real_logits: Tensor, fake_logits: Tensor) -> Tensor:
        """See the class; `(B,)` nats."""
        return softplus(fake_logits - real_logits)

    def generator(self, real_logits: Tensor | None, fake_logits: Tensor) -> Tensor:
        """See the class; `(B,)` nats.

        Raises:
            ValueError: without real logits.
        """
        if real_logits is None:
            raise ValueError("real_logits must be given: the relativistic loss compares pairs")
        return softplus(real_logits - fake_logits)
