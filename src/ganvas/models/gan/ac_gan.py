"""The GAN whose critic is a classifier, too."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from ganvas.losses.weights import check_weights
from ganvas.models.gan.conditional import ClassConditional
from ganvas.models.gan.gan import GeneratorCritic
from ganvas.nn.conditional import required
from ganvas.protocols import Encoder
from ganvas.types import Batch, ImageShape, LossTerms


def with_class_logits(factory: Encoder, *, num_classes: int) -> Encoder:
    """The same network with `num_classes` more outputs."""

    def critic(*, image_shape: ImageShape, num_outputs: int) -> nn.Module:
        return factory(image_shape=image_shape, num_outputs=num_outputs + num_classes)

    return critic


class ACGAN(ClassConditional):
    """Both sides also minimise λ · the class's cross-entropy (Odena et al. 2017, eqs. 1 to 3).

    arXiv:1610.09585. The critic sees no label; it has K more outputs. It minimises L_S + λ · L_C
    with L_C = −E log C(y|x) − E log C(y|G(z, y)); the generator minimises its own loss and the
    second term. Parts: `class_loss` is L_C, `generator_class_loss` its second term for the
    generator's step, each without λ.

    Args:
        num_classes: classes K of the data; None where they have no labels.
        network: factories `generator` and `critic`.
        class_weight: λ (1 in the paper).
        labelled: further arguments of `ClassConditional`.

    Raises:
        ValueError: if the data have no labels, or class_weight is below 0.
    """

    higher_is_better: ClassVar[Mapping[str, bool]] = {
        "real_class_accuracy": True,
        "fake_class_accuracy": True,
    }

    def __init__(
        self,
        *,
        num_classes: int | None,
        network: GeneratorCritic,
        class_weight: float,
        **labelled: Any,
    ) -> None:
        check_weights(class_weight=class_weight)
        critic = with_class_logits(network["critic"], num_classes=num_classes or 0)
        super().__init__(num_classes=num_classes, network={**network, "critic": critic}, **labelled)
        self.class_weight = class_weight

    def with_auxiliary(self, terms: LossTerms, judged: Sequence[Tensor], batch: Batch) -> LossTerms:
        """Terms with the cross-entropy of the class, of real and fake images or of fake alone."""
        y = required(batch.y)
        logits = [outputs[:, 1:] for outputs in judged]
        loss = sum((cross_entropy(part, y) for part in logits[1:]), cross_entropy(logits[0], y))
        if len(logits) == 1:
            return terms.plus("generator_class_loss", loss, weight=self.class_weight)
        accuracies = {
            f"{kind}_class_accuracy": (part.argmax(1) == y).float().mean()
            for kind, part in zip(("real", "fake"), logits, strict=True)
        }
        terms = LossTerms(terms.total, {**terms.parts, **accuracies})
        return terms.plus("class_loss", loss, weight=self.class_weight)
