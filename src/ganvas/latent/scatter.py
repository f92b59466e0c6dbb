"""Codes of a split in the plane."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import torch
from torch import Tensor

from ganvas.errors import RunError
from ganvas.latent.chart import Chart
from ganvas.latent.cloud import Cloud, Marks
from ganvas.latent.options import one_of, positive
from ganvas.latent.plane import SHARES, Projection, Shadow, principal, shadow, unchanged
from ganvas.latent.tool import Drawing, Tool
from ganvas.protocols import Conditional, Encodes, HasPosterior

if TYPE_CHECKING:
    from ganvas.latent.scene import Codes, Scene

Method = Literal["auto", "pca", "tsne"]

PLANE = 2
"""Dimensions."""

NUM_DRAWN = 1000
"""Codes of a prior that are shown themselves, where no contour is known."""


@dataclass(frozen=True)
class View:
    """Codes in the plane, and how they came there.

    Attributes:
        points: `(N, 2)`, those of the split and then those that were named.
        axes: names of both.
        how: in words, for title and text.
        projection: None where the map is not linear.
    """

    points: Tensor
    axes: tuple[str, str]
    how: str
    projection: Projection | None


class Scatter(Tool):
    """Codes of a split's images coloured by label, with the prior's contours; named images marked.

    Codes are `encode(x)`: means of q(z|x) where there is one. Two dimensions are shown as they are,
    more through principal components or t-SNE (van der Maaten & Hinton 2008, JMLR 9). Contours hold
    39 %, 86 % and 99 % of the prior: circles at 1, 2 and 3 around A (0 − c) for N(0, I), whose
    projection z ↦ A (z − c) with orthonormal rows is N(−A c, I); see `ganvas.latent.plane`.

    Args:
        method: "pca", "tsne", or "auto": two dimensions as they are, more by PCA.
        num: images at most, evenly spread over the split.
        perplexity: of t-SNE.

    Raises:
        ValueError: for a value out of range.
    """

    needs: ClassVar[Sequence[type]] = (Encodes,)
    draws_images: ClassVar[bool] = False

    def __init__(self, *, method: Method, num: int, perplexity: float) -> None:
        if num < 3:  # noqa: PLR2004
            raise ValueError(f"num must be at least 3 images, got {num}")
        self.method, self.num = one_of("method", method, Method), num
        self.perplexity = positive("perplexity", perplexity)

    def draw(self, scene: Scene) -> Drawing:
        """See the class.

        Raises:
            ValueError: if the codes can't be shown in the plane so.
        """
        split = scene.request.split
        found = scene.encodings(split, num=self.num, evenly=True)
        named = _named(scene)
        view = self._view(found.z, None if named is None else named.z.cpu(), seed=scene.seed)
        points, marks = view.points[: len(found.z)], view.points[len(found.z) :]
        prior, notes = _prior(scene, view)
        drawn = None
        if prior is None and view.projection is not None and not notes:
            drawn = view.projection(scene.noise(NUM_DRAWN).z.cpu())
            notes = [f"grey crosses: {NUM_DRAWN:,} codes drawn from the prior"]
        cloud = Cloud(
            points,
            found.y,
            view.axes,
            shadow=prior,
            drawn=drawn,
            marks=None if named is None else Marks(marks, named.names),
        )
        labels = {} if found.y is None else {"y": found.y}
        return Drawing(
            Chart(f"Codes of {len(points):,} {split} images: {view.how}", cloud.paint, 8.6, 6.9),
            values=_values(points, view, prior),
            tensors={"codes": found.z, "points": points, **labels},
            inputs=[] if named is None else named.names,
            notes=[*_what(scene), *notes, *([] if named is None else named.notes)],
        )

    def _view(self, z: Tensor, named: Tensor | None, *, seed: int) -> View:
        """Codes `(N, Z)`, and those of named images after them, in the plane."""
        width, everything = z.shape[1], z if named is None else torch.cat([z, named])
        if width < PLANE:
            raise ValueError(
                f"codes must have at least 2 dimensions to be shown in a plane, got {width}; train "
                "a model with model.latent_dim=2 or more, or take tool=traverse"
            )
        if self.method == "tsne":
            return self._neighbouring(everything, seed=seed)
        if self.method == "auto" and width == PLANE:
            same = unchanged()
            return View(same(everything), ("z₀", "z₁"), "latent space as it is", same)
        projection = principal(z)
        assert projection.explained is not None
        shares = [f"{share:.1%}".replace("%", " %") for share in projection.explained.tolist()]
        axes = (
            f"first principal component ({shares[0]} of the variance)",
            f"second principal component ({shares[1]})",
        )
        return View(projection(everything), axes, f"PCA of {width} dimensions", projection)

    def _neighbouring(self, z: Tensor, *, seed: int) -> View:
        """By t-SNE from the principal components."""
        from sklearn.manifold import TSNE

        if self.perplexity >= len(z):
            raise ValueError(
                f"perplexity must be below the number of codes, {len(z)}, got {self.perplexity:g}; "
                "lower tool.perplexity or raise tool.num"
            )
        found = TSNE(perplexity=self.perplexity, init="pca", random_state=seed).fit_transform(
            z.double().numpy()
        )
        how = f"t-SNE of {z.shape[1]} dimensions, perplexity {self.perplexity:g}"
        return View(torch.from_numpy(found).double(), ("t-SNE 1", "t-SNE 2"), how, None)


def _named(scene: Scene) -> Codes | None:
    """Codes of the images that were named, to be marked."""
    if scene.request.images is None:
        return None
    if scene.is_random:
        raise ValueError(
            "images=random: codes of images are shown; name some to mark them, e.g. images=[0,1], "
            "or leave images out"
        )
    return scene.codes(1)


def _prior(scene: Scene, view: View) -> tuple[Shadow | None, list[str]]:
    """The prior in the plane, and why it is not there."""
    if view.projection is None:
        text = (
            "no contour of the prior: t-SNE is no map that a density could be carried along; its "
            "distances and sizes of clusters mean little, neighbourhoods are what it keeps"
        )
        return None, [text]
    try:
        return shadow(scene, view.projection), []
    except RunError as error:
        return None, [f"no contour of a prior: {error}"]


def _what(scene: Scene) -> list[str]:
    """What codes are."""
    model = scene.view.module
    text = "codes are means of q(z|x)" if isinstance(model, HasPosterior) else "codes are encode(x)"
    if isinstance(model, Conditional):
        text += ", and the encoder is told the class: codes need not hold it, classes may overlap"
    return [text]


def _values(points: Tensor, view: View, prior: Shadow | None) -> dict[str, Any]:
    """What was measured: variance explained, and the share of codes within the contours."""
    values: dict[str, Any] = {"num": len(points)}
    if view.projection is not None and view.projection.explained is not None:
        values["explained_variance"] = round(float(view.projection.explained.sum()), 4)
    if prior is not None:
        inside = zip(SHARES, prior.inside(points), strict=True)
        values |= {f"inside_{share:.0%}".rstrip("%"): round(part, 4) for share, part in inside}
    return values
