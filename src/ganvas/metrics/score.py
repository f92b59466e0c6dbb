"""The Inception score, of any classifier's logits."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from ganvas.metrics.feature_metric import check_finite

LEAST = 2


@dataclass(frozen=True, slots=True)
class Score:
    """A score.

    Attributes:
        value: 1 to K.
        error: standard error.
    """

    value: float
    error: float


def class_score(logits: Tensor, *, splits: int = 1) -> Score:
    """exp(E KL(p(y|x) ‖ p(y))), p(y) the mean of p(y|x) (Salimans et al. 2016, arXiv:1606.03498).

    High if each image is clearly of one class and all classes are there: 1 if images can't be told
    apart, K if each is surely of one of K equal classes. It is called Inception score for the
    logits of one certain Inception network only. With few images it is too small; compare at equal
    numbers and splits only.

    Of all images at once, the standard error is by the delta method: score · sd(KL) / √N. Over
    splits (ten in that paper) the value is the mean of the splits' scores, and the standard error
    theirs: sd / √splits; implementations that print the standard deviation print √splits as much.

    Args:
        logits: `(N, K)`.
        splits: equal parts, in the order of the images; the n-th begins at ⌊n N / splits⌋.

    Raises:
        ValueError: with fewer than 2 images in a split, or a logit that is not finite.
    """
    num = len(logits)
    if splits < 1 or num < LEAST * splits:
        raise ValueError(
            f"a score needs at least 1 split and {LEAST} images in each, got splits={splits} and "
            f"{num} images; give more images or fewer splits"
        )
    check_finite(logits, name="logits")
    log_p = logits.double().log_softmax(1)
    cuts = [n * num // splits for n in range(splits + 1)]
    kls = [_kl(log_p[low:high]) for low, high in pairwise(cuts)]
    scores = torch.stack([kl.mean().exp() for kl in kls])
    if splits == 1:
        error = scores[0] * kls[0].std() / math.sqrt(num)
    else:
        error = scores.std() / math.sqrt(splits)
    return Score(scores.mean().item(), error.item())


def _kl(log_p: Tensor) -> Tensor:
    """KL(p(y|x) ‖ p(y)) of each image, in nats, `(N,)`."""
    log_mean = log_p.logsumexp(0) - math.log(len(log_p))
    return (log_p.exp() * (log_p - log_mean)).sum(1)
