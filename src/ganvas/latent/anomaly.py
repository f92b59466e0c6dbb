"""Images ranked from usual to odd: how badly the model rebuilds them, how improbable they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Literal
from zlib import crc32

import torch
from torch import Tensor, nn

from ganvas.latent.chart import Chart, Stack
from ganvas.latent.options import one_of, within
from ganvas.latent.ranked import WORDS, Odd, Ranked, Scores
from ganvas.latent.scene import finite
from ganvas.latent.tool import LACKS, Drawing, Tool
from ganvas.losses.divergences import standard_normal_kl
from ganvas.metrics.likelihood import ImportanceSums
from ganvas.metrics.ranks import auroc
from ganvas.metrics.reconstruction import squared_error
from ganvas.nn.noise import keyed_normal
from ganvas.protocols import HasLikelihood, Reconstructs, labels_for
from ganvas.types import GaussianPosterior

if TYPE_CHECKING:
    from ganvas.latent.scene import Scene
    from ganvas.models.view import ModelView

Score = Literal["error", "elbo"]

NOISE_STREAM = 7_002
"""Key of the noise, apart from what models draw."""

FEW = 20
"""Classes that are listed one by one."""


class Anomaly(Tool):
    """Images of a split ranked by how odd they are to the model; given ones against that split.

    - `error`: Σ (x − x̂)² over pixels and channels, in [0, 1];
    - `elbo`: distortion + rate in nats, both means over K codes of q(z|x), the rate in closed form
      where it has one. An image's noise is a function of its pixels and the seed, so that its
      score does not depend on the images beside it.

    Neither is the better one for all images: an encoder may put what it does not know near the
    prior's mean, at a low rate, and a density may favour plain images over those it was trained on
    (Nalisnick et al. 2019, arXiv:1810.09136).

    Where classes are said to be odd, the scores of their images are compared with all others'. What
    the model was trained on is not asked: had it seen those classes, the area says how rare or
    difficult they are to it, not how it takes to what it has never seen.

    Args:
        score: "error" or "elbo".
        codes: K of the ELBO.
        odd: classes.
        num: the first so many images of the split; None for all.
        shown: most usual and most odd images in the picture, each.

    Raises:
        ValueError: for a value out of range.
    """

    needs: ClassVar[Sequence[type]] = (Reconstructs,)

    def __init__(
        self,
        *,
        score: Score,
        codes: int,
        odd: int | Sequence[int] | None,
        num: int | None,
        shown: int,
    ) -> None:
        within("codes", codes, least=1, most=1000)
        within("shown", shown, least=1, most=50)
        if num is not None and num < 2:  # noqa: PLR2004
            raise ValueError(f"num must be at least 2 images, which are ranked, got {num}")
        self.odd = None if odd is None else [odd] if isinstance(odd, int) else list(odd)
        if self.odd is not None and (not self.odd or min(self.odd) < 0):
            raise ValueError(f"odd must be a class (0, 1, …), several, or null, got {odd}")
        self.score = one_of("score", score, Score)
        self.codes, self.num, self.shown = codes, num, shown

    def unfit(self, model: type[nn.Module]) -> str | None:
        """Without a likelihood there is no ELBO."""
        if fault := super().unfit(model):
            return fault
        if self.score == "elbo" and not issubclass(model, HasLikelihood):
            return f"{LACKS[HasLikelihood]}, or tool.score=error"
        return None

    def draw(self, scene: Scene) -> Drawing:
        """See the class."""
        given = None if scene.request.images is None else scene.inputs(None)
        kind, function = self.score, error_scores(scene.view)
        if kind == "elbo":
            function = elbo_scores(scene.view, codes=self.codes, seed=scene.seed)
        scores, labels = _of_split(scene, function, num=self.num)
        odd = None if self.odd is None else _odd_ones(scene, labels, self.odd)
        ranked = Ranked(scene, kind, scores, odd)
        if given is None:
            part = ranked.extremes(self.shown)
        else:
            part = ranked.given(given, function, self.shown)
        verdict = Verdict("", {}) if odd is None else _verdict(scene, scores, odd)
        title = f"Scores of {len(scores):,} images of {scene.request.split}{verdict.title}"
        chart = Chart(title, partial(ranked.paint, marks=part.marks), height=3.6)
        return Drawing(
            Stack([part.sheet, chart]),
            values={"score": WORDS[kind], "images": len(scores), **verdict.values, **part.values},
            tensors={"scores": scores, **part.tensors},
            inputs=part.names,
            notes=[*part.notes, *verdict.notes],
        )


def error_scores(view: ModelView) -> Scores:
    """Σ (x − x̂)² over pixels and channels."""

    def scores(x: Tensor, y: Tensor | None) -> Tensor:
        made = view.reconstruct(x, **labels_for(view.module, y))
        return squared_error(x, made.to(x)) * x[0].numel()

    return scores


def elbo_scores(view: ModelView, *, codes: int, seed: int) -> Scores:
    """Distortion + rate in nats, from K codes of each image."""
    model: Any = view.module
    low, high = model.value_range
    log_prior = model.prior_density()

    def scores(x: Tensor, y: Tensor | None) -> Tensor:
        given, seen = labels_for(model, y), x * (high - low) + low
        q = model.posterior(seen, **given)
        exact = GaussianPosterior(q.mu.double(), q.log_var.double())
        noise = _noise(x, (codes, q.mu.shape[1]), seed=seed).double()
        z = [exact.sample(eps) for eps in noise.unbind(1)]
        likelihood = [model.log_likelihood(seen, z_k.to(q.mu), **given) for z_k in z]
        ratio = [exact.log_prob(z_k) - log_prior(z_k) for z_k in z]
        sums = ImportanceSums.of(torch.stack(likelihood, 1), torch.stack(ratio, 1))
        rate = standard_normal_kl(exact) if model.standard_normal_prior else sums.rate
        return sums.distortion + rate

    return scores


def _noise(x: Tensor, shape: tuple[int, ...], *, seed: int) -> Tensor:
    """Normal noise `(B, *shape)`, each image's a function of its pixels and the seed."""
    keys = [crc32(image.numpy().tobytes()) for image in x.float().cpu()]
    drawn = [keyed_normal(shape, seed, NOISE_STREAM, key, device="cpu") for key in keys]
    return torch.stack(drawn).to(x.device)


def _of_split(scene: Scene, function: Scores, *, num: int | None) -> tuple[Tensor, Tensor | None]:
    """Scores `(N,)` of the split's first images, and their labels."""
    batches = scene.subject.batches(num=num, value_range=(0.0, 1.0))
    found = scene.subject.collect(
        lambda batch: {
            "scores": function(batch.x, batch.y),
            **({} if batch.y is None else {"y": batch.y}),
        },
        batches,
    )
    return finite(found["scores"], what="scores"), found.get("y")


def _odd_ones(scene: Scene, labels: Tensor | None, odd: Sequence[int]) -> Odd:
    """Which images of the split are of odd classes."""
    if labels is None:
        raise ValueError(f"odd={odd}: images of {scene.data.name} have no labels; leave odd out")
    labels, seen = labels.cpu(), f"the {len(labels)} images of {scene.request.split}"
    there = labels.unique().tolist()
    if absent := [label for label in odd if label not in there]:
        listed = ", ".join(map(str, there)) if len(there) <= FEW else f"{there[0]} … {there[-1]}"
        raise ValueError(
            f"odd must name classes of {seen} ({listed}), got {absent[0]}; "
            "choose others, or more images"
        )
    if not set(there) - set(odd):
        raise ValueError(f"odd must leave some of {seen} usual, got all classes; name fewer")
    words = ("class " if len(odd) == 1 else "classes ") + ", ".join(map(str, odd))
    return Odd(torch.isin(labels, torch.tensor(odd)), tuple(odd), words)


@dataclass(frozen=True)
class Verdict:
    """How well odd classes are told apart.

    Attributes:
        title: to be added to the chart's.
        values: to be said.
        notes: for a reader.
    """

    title: str
    values: Mapping[str, Any]
    notes: Sequence[str] = ()


def _verdict(scene: Scene, scores: Tensor, odd: Odd) -> Verdict:
    """AUROC, and whether the model was trained on what is called odd."""
    found = auroc(scores, odd.mask)
    trained = [batch.y for batch in scene.subject.batches("train") if batch.y is not None]
    num = int(torch.isin(torch.cat(trained).cpu(), torch.tensor(odd.classes)).sum())
    seen = f"{odd.words}: {num:,} of {scene.data.counts['train']:,} training images"
    if num:
        notes = [f"{seen}, so that AUROC says how difficult such images are, not how unknown"]
    else:
        notes = [f"{seen}: the model has seen no such image"]
    if found.value < 0.5:  # noqa: PLR2004
        notes.append("AUROC under 0.5: such images are easier to this model than the others")
    return Verdict(
        f": AUROC {found.value:.3f} ± {found.error:.3f} for {odd.words}",
        {
            "auroc": found.value,
            "auroc_error": found.error,
            "odd_images": found.num_odd,
            "usual_images": found.num_usual,
            "odd_images_in_training": num,
        },
        notes,
    )
