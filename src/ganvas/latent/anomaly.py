"""Images ranked from usual to odd: how badly the model rebuilds them, how improbable they are."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Literal, get_args

import torch
from torch import Tensor, nn

from ganvas.latent.chart import Chart, Stack
from ganvas.latent.ranked import WORDS, Ranked, Scores, finite
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

Score = Literal["auto", "error", "elbo"]

NOISE_STREAM = 7_002
"""Key of the noise, apart from what models draw."""


class Anomaly(Tool):
    """Images of a split ranked by how odd they are to the model; given ones against that split.

    - `error`: Σ (x − x̂)² over pixels and channels, in [0, 1];
    - `elbo`: distortion + rate in nats, the distortion over K codes of q(z|x), as is the rate where
      it has no closed form. All images get the same K draws of noise, so that a score is a
      function of its image alone.
    - `auto`: `elbo` where the model has one, since it asks for a probable code too, else `error`.

    Where classes are said to be odd, the scores of their images are compared with all others'. What
    the model was trained on is not asked: had it seen those classes, the area says how rare or
    difficult they are to it, not how it takes to what it has never seen.

    Args:
        score: "auto", "error" or "elbo".
        codes: K of the ELBO.
        odd: classes.
        num: the first so many images of the split; None for all.
        show: most usual and most odd images in the picture, each.

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
        show: int,
    ) -> None:
        if score not in get_args(Score):
            raise ValueError(f"score must be auto, error or elbo, got {score!r}")
        for name, value in {"codes": codes, "show": show}.items():
            if value < 1:
                raise ValueError(f"{name} must be at least 1, got {value}")
        if num is not None and num < 2:  # noqa: PLR2004
            raise ValueError(f"num must be at least 2 images, which are ranked, got {num}")
        self.odd = None if odd is None else [odd] if isinstance(odd, int) else list(odd)
        if self.odd is not None and (not self.odd or min(self.odd) < 0):
            raise ValueError(f"odd must be a class (0, 1, …), several, or null, got {odd}")
        self.score, self.codes, self.num, self.show = score, codes, num, show

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
        kind, function = self._score(scene)
        scores, labels = _of_split(scene, function, num=self.num)
        is_odd = None if self.odd is None else _odd_ones(scene, labels, self.odd)
        values: dict[str, Any] = {"score": WORDS[kind], "images": len(scores)}
        title = f"Scores of {len(scores)} images of {scene.request.split}"
        if is_odd is not None:
            found = auroc(scores, is_odd)
            title += f": AUROC {found.value:.3f} ± {found.error:.3f} for {_classes(self.odd or ())}"
            values |= {"AUROC": found.value, "AUROC standard error": found.error}
            values |= {"odd images": found.num_odd, "usual images": found.num_usual}
        ranked = Ranked(scene, kind, scores, is_odd)
        part = (
            ranked.extremes(self.show)
            if given is None
            else ranked.given(given, function, self.show)
        )
        chart = Chart(title, partial(ranked.paint, marks=part.marks), height=3.6)
        return Drawing(
            Stack([part.sheet, chart]),
            values={**values, **part.values},
            tensors={"scores": scores, **part.tensors},
            inputs=part.names,
            notes=part.notes,
        )

    def _score(self, scene: Scene) -> tuple[str, Scores]:
        """Its name and the function."""
        likely = isinstance(scene.view.module, HasLikelihood)
        kind = self.score if self.score != "auto" else "elbo" if likely else "error"
        if kind == "error":
            return kind, error_scores(scene.view)
        return kind, elbo_scores(scene.view, codes=self.codes, seed=scene.seed)


def error_scores(view: ModelView) -> Scores:
    """Σ (x − x̂)² over pixels and channels."""

    def scores(x: Tensor, y: Tensor | None) -> Tensor:
        made = view.reconstruct(x, **labels_for(view.module, y))
        return squared_error(x, made.to(x)) * x[0].numel()

    return scores


def elbo_scores(view: ModelView, *, codes: int, seed: int) -> Scores:
    """Distortion + rate in nats, over the same K draws of noise for all images."""
    model: Any = view.module
    low, high = model.value_range
    log_prior = model.prior_density()

    def scores(x: Tensor, y: Tensor | None) -> Tensor:
        x, given = x * (high - low) + low, labels_for(model, y)
        q = model.posterior(x, **given)
        exact = GaussianPosterior(q.mu.double(), q.log_var.double())
        noise = keyed_normal((codes, q.mu.shape[1]), seed, NOISE_STREAM, device=x.device)
        z = [exact.sample(eps.double()) for eps in noise]
        likelihood = [model.log_likelihood(x, z_k.to(q.mu), **given) for z_k in z]
        ratio = [exact.log_prob(z_k) - log_prior(z_k) for z_k in z]
        sums = ImportanceSums.of(torch.stack(likelihood, 1), torch.stack(ratio, 1))
        rate = standard_normal_kl(exact) if model.standard_normal_prior else sums.rate
        return sums.distortion + rate

    return scores


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
    return finite(found["scores"]), found.get("y")


def _odd_ones(scene: Scene, labels: Tensor | None, odd: Sequence[int]) -> Tensor:
    """Which images are of odd classes, bool `(N,)`."""
    name, known = scene.data.name, scene.data.num_classes
    if labels is None:
        raise ValueError(f"odd={list(odd)}: images of {name} have no labels; leave odd out")
    if known is not None and max(odd) >= known:
        raise ValueError(f"odd must name classes of {name}, 0 to {known - 1}, got {max(odd)}")
    is_odd = torch.isin(labels, torch.tensor(list(odd)))
    seen = f"the {len(labels)} images of {scene.request.split}"
    if not is_odd.any():
        raise ValueError(
            f"odd={list(odd)}: none of {seen} is of {_classes(odd)}; choose another class, or more "
            "images by tool.num"
        )
    if is_odd.all():
        raise ValueError(f"odd={list(odd)}: all {seen} would be odd; name fewer classes")
    return is_odd


def _classes(odd: Sequence[int]) -> str:
    return ("class " if len(odd) == 1 else "classes ") + ", ".join(map(str, odd))
