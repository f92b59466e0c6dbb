"""The plane of a two-dimensional latent, decoded point by point."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, Literal

import torch
from torch import Tensor

from ganvas.latent.chart import Stack
from ganvas.latent.lettering import number
from ganvas.latent.options import one_of, within
from ganvas.latent.sheet import Sheet
from ganvas.latent.tool import Drawing, Tool
from ganvas.protocols import Conditional, Decodes, Encodes, Samples

if TYPE_CHECKING:
    from ganvas.latent.scene import Scene

Spread = Literal["auto", "prior", "codes"]

QUANTILES = "axes at quantiles of N(0, 1): each image stands for the same share of the prior"
EVEN = "axes at even steps from the 1 % to the 99 % quantile"

WIDTH = 2
"""The dimensions of a plane."""

TAIL = 0.01
"""Share of the codes that lies beyond each end of an axis that goes over their range."""

NUM_CODES = 10_000
"""Codes that the range is found from, at most."""


def normal_quantiles(size: int) -> Tensor:
    """Φ⁻¹((i + ½) / size), `(size,)`: the middle of each of so many equal shares of N(0, 1)."""
    shares = (torch.arange(size, dtype=torch.float64) + 0.5) / size
    return torch.special.ndtri(shares).float()


def even_range(z: Tensor, size: int) -> Tensor:
    """Even steps from the 1 % to the 99 % quantile of each dimension of codes, `(Z, size)`."""
    low, high = torch.quantile(z.double(), torch.tensor([TAIL, 1 - TAIL]).double(), dim=0)
    t = torch.linspace(0, 1, size, dtype=torch.float64)
    return (low[:, None] + (high - low)[:, None] * t).float()


def grid(across: Tensor, up: Tensor) -> Tensor:
    """Codes `(R, C, 2)`: z₀ grows to the right as `across` `(C,)`, z₁ upwards as `up` `(R,)`."""
    second, first = torch.meshgrid(up.flip(0), across, indexing="ij")
    return torch.stack([first, second], dim=2)


class Manifold(Tool):
    """Images of a grid of codes: Kingma & Welling 2014 (arXiv:1312.6114), figure 4.

    Where the prior is N(0, I), the grid stands at Φ⁻¹((i + ½) / size) along each axis, so that
    each image stands for the same share 1/size² of the prior; else at even steps over the range of
    the split's codes (1 % to 99 % of each dimension), or of codes from the prior for want of an
    encoder. Of a conditional model one class is shown, or each of several below the other.

    Args:
        size: images along each axis.
        spread: "prior", "codes", or "auto" for the prior where it is N(0, I).

    Raises:
        ValueError: for a value out of range.
    """

    needs: ClassVar[Sequence[type]] = (Decodes,)

    def __init__(self, *, size: int, spread: Spread) -> None:
        self.size = within("size", size, least=2, most=100)
        self.spread = one_of("spread", spread, Spread)

    def draw(self, scene: Scene) -> Drawing:
        """See the class.

        Raises:
            ValueError: if Z is not 2, images were given, or the prior is another than asked for.
        """
        if scene.request.images is not None:
            raise ValueError(
                f"images: a grid of codes is shown, and no images are taken, got "
                f"{scene.request.images!r}; leave images out, or take tool=scatter to mark them"
            )
        normal = scene.view.module.standard_normal_prior
        if self.spread == "prior" and not normal:
            raise ValueError(
                f"spread: prior is for models whose prior is N(0, I), and "
                f"{type(scene.view.module).__name__} has another or none; take spread=codes"
            )
        if (width := _width(scene)) != WIDTH:
            raise ValueError(
                f"a model with 2 latent dimensions is needed, this one has {width}; train one with "
                "model.latent_dim=2, or look at this one with tool=traverse"
            )
        if normal and self.spread != "codes":
            axis = normal_quantiles(self.size)
            return self._drawing(scene, grid(axis, up=axis), QUANTILES)
        z, source = _some_codes(scene)
        across, up = even_range(z, self.size)
        return self._drawing(scene, grid(across, up=up), f"{EVEN} of {source}")

    def _drawing(self, scene: Scene, codes: Tensor, where: str) -> Drawing:
        """One sheet for each class, below each other."""
        classes, notes = _classes(scene)
        made = [self._decoded(scene, codes, y) for y in classes]
        sheets = [_sheet(codes, x, y) for x, y in zip(made, classes, strict=True)]
        return Drawing(
            sheets[0] if len(sheets) == 1 else Stack(sheets),
            values={
                "axes": where,
                **{f"z{i}_{end}": round(float(value), 4) for i in range(WIDTH)
                   for end, value in (("min", codes[..., i].min()), ("max", codes[..., i].max()))},
            },
            tensors={"codes": codes, "images": made[0] if len(made) == 1 else torch.stack(made)},
            notes=[where, *notes],
        )  # fmt: skip

    def _decoded(self, scene: Scene, codes: Tensor, y: int | None) -> Tensor:
        """Images `(R, C, …)` of codes `(R, C, 2)`, of class y."""
        flat = codes.flatten(0, 1)
        labels = scene.view.class_labels(len(flat), y)
        return scene.decode(flat, labels).unflatten(0, codes.shape[:2])


def _width(scene: Scene) -> int:
    """Z, found without data where that can be."""
    if isinstance(scene.view.module, Samples):
        return scene.view.prior_codes(1).shape[1]
    return _some_codes(scene, num=1)[0].shape[1]


def _some_codes(scene: Scene, num: int = NUM_CODES) -> tuple[Tensor, str]:
    """Codes of the split, or of the prior for want of an encoder; and what they are."""
    if isinstance(scene.view.module, Encodes):
        split = scene.request.split
        found = scene.encodings(split, num=num, evenly=True)
        return found.z, f"the codes of {len(found.z):,} {split} images"
    return scene.noise(num).z.cpu(), f"{num:,} codes from the prior"


def _classes(scene: Scene) -> tuple[Sequence[int | None], list[str]]:
    """What classes are shown, and what is said of it; None for a model that takes none."""
    y, model = scene.request.classes, scene.view.module
    if not isinstance(model, Conditional):
        scene.view.class_labels(1, y)
        return [None], []
    if y is None:
        return [0], [f"class 0 of {model.num_classes}; y=3 shows another, y=[0,1] several"]
    return [y] if isinstance(y, int) else list(dict.fromkeys(y)), []


def _sheet(codes: Tensor, images: Tensor, y: int | None) -> Sheet:
    """A grid of images whose labels are the coordinates."""
    of_class = "" if y is None else f", class {y}"
    return Sheet(
        f"The latent plane{of_class}: z₀ to the right, z₁ upwards",
        [list(row) for row in images],
        row_labels=[number(value) for value in codes[:, 0, 1].tolist()],
        column_labels=[number(value) for value in codes[0, :, 0].tolist()],
    )
