"""An attribute as a direction of latent space."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, Literal

import torch
from torch import Tensor

from ganvas.errors import RunError
from ganvas.latent.attribute import Separation, classifier_normal, difference
from ganvas.latent.chart import Chart
from ganvas.latent.moved import moved
from ganvas.latent.options import one_of, positive
from ganvas.latent.sheet import Sheet
from ganvas.latent.tool import Drawing, Tool
from ganvas.protocols import Conditional, Decodes, Encodes

if TYPE_CHECKING:
    from ganvas.latent.scene import Codes, Scene
    from ganvas.types import Split

Method = Literal["means", "classifier"]
"""How a direction is found from labels."""

WORDS = {"means": "difference of class means", "classifier": "normal of a linear classifier"}
SIGNS = {"add": "+", "subtract": "−"}


class Concept(Tool):
    """Images whose codes are moved along a direction that stands for an attribute.

    With `label`, from codes of training images: the difference of the class means (Larsen et al.
    2016, arXiv:1512.09300), or the normal of a logistic regression. With `add` and `subtract`, the
    mean code of the ones minus that of the others; where one is empty, 0 takes its place.

    The unit of strength is the same for all: the distance of the means along the direction. Moved
    by strength s, a code's position n · z, which is 0 at the one mean and 1 at the other, rises by
    s; with the difference of means, s = 1 adds just that. See `ganvas.latent.attribute`.

    Codes of a conditional model need not hold the class, which its decoder is told, so that no
    direction of a label is sought in them.

    Args:
        label: a class; the first where None and no images are added or subtracted.
        against: another; all others where None.
        method: "means" or "classifier".
        strengths: above 0, ascending; shown forwards and backwards around the reconstruction.
        add: positions in the split, files or folders.
        subtract: likewise.
        num: images at most that the direction is found from, and tested on.
        inverse_penalty: C of the classifier.

    Raises:
        ValueError: for a value out of range, or labels and images at once.
    """

    needs: ClassVar[Sequence[type]] = (Encodes, Decodes)

    def __init__(
        self,
        *,
        label: int | None,
        against: int | None,
        method: Method,
        strengths: Sequence[float],
        add: Sequence[int | str] | int | str,
        subtract: Sequence[int | str] | int | str,
        num: int,
        inverse_penalty: float,
    ) -> None:
        self.method = one_of("method", method, Method)
        self.label, self.against = label, against
        self.strengths = _strengths(strengths)
        self.add, self.subtract = _listed(add), _listed(subtract)
        self.by_images = bool(self.add or self.subtract)
        if self.by_images and (label is not None or against is not None):
            raise ValueError(
                f"label must be left out where images are added or subtracted, got label={label} "
                f"and against={against}; choose one way"
            )
        if against is not None and against == (0 if label is None else label):
            raise ValueError(f"against must be another class than label, got {against} for both")
        if num < 4:  # noqa: PLR2004
            raise ValueError(f"num must be at least 4 images, got {num}")
        self.num, self.inverse_penalty = num, positive("inverse_penalty", inverse_penalty)

    def draw(self, scene: Scene) -> Drawing:
        """See the class.

        Raises:
            ValueError: if there is no such class, or no direction.
        """
        if scene.is_random:
            raise ValueError(
                "images=random: codes of images are moved; name some, e.g. images=[0,1]"
            )
        return self._from_images(scene) if self.by_images else self._from_labels(scene)

    # From labels

    def _from_labels(self, scene: Scene) -> Drawing:
        """Along a direction from training images, tested on the split."""
        label = self._checked(scene)
        train = _sides(scene, "train", label, against=self.against, num=self.num)
        if self.method == "means":
            direction = difference(*train)
        else:
            direction = classifier_normal(*train, inverse_penalty=self.inverse_penalty)
        split: Split = "test" if scene.request.split == "train" else scene.request.split
        tested = _sides(scene, split, label, against=self.against, num=self.num)
        found = Separation(*(direction.positions(side) for side in tested))
        other = "all others" if self.against is None else f"class {self.against}"
        about = f"Towards class {label}, away from {other}: {WORDS[self.method]}"
        shown = moved(scene, direction, self.strengths, about)
        title = (
            f"{split.capitalize()} images along it: AUROC {found.auroc:.3f}, "
            f"balanced accuracy {found.balanced_accuracy:.1%}".replace("%", " %")
        )
        names = (f"class {label}", other)
        chart = Chart(title, lambda axes: found.paint(axes, names), 8.0, 3.2)
        values = {
            "auroc": round(found.auroc, 4),
            "balanced_accuracy": round(found.balanced_accuracy, 4),
            "length": direction.length,
            "num_train": sum(map(len, train)),
            f"num_{split}": sum(map(len, tested)),
        }
        return shown.drawing([shown.sheet, chart], values)

    def _checked(self, scene: Scene) -> int:
        """The class that the direction leads to, after a look at model and data."""
        model, data = scene.view.module, scene.data
        if isinstance(model, Conditional):
            raise ValueError(
                f"label: the encoder of {type(model).__name__} is told the class, so that codes "
                "need not hold it; change the class by y, or give images in add and subtract"
            )
        if data.num_classes is None:
            raise ValueError(
                f"label: {data.name} has no labels; give images in add and subtract instead, "
                "e.g. tool.add=[0,4] tool.subtract=[1]"
            )
        label = 0 if self.label is None else self.label
        for name, value in (("label", label), ("against", self.against)):
            if value is not None and not 0 <= value < data.num_classes:
                raise ValueError(
                    f"{name} must be one of the classes 0 to {data.num_classes - 1} of "
                    f"{data.name}, got {value}"
                )
        return label

    # From images

    def _from_images(self, scene: Scene) -> Drawing:
        """Along the mean code of some images minus that of others."""
        parts = {"add": self.add, "subtract": self.subtract}
        codes = {name: _codes(scene, name, items) for name, items in parts.items() if items}
        zero = torch.zeros_like(next(iter(codes.values())).z[:1])
        sides = [codes[name].z.cpu() if name in codes else zero.cpu() for name in parts]
        direction = difference(*sides)
        num = {name: len(items.names) for name, items in codes.items()}
        words = [f"{verb} {count} image{'s' * (count > 1)}" for verb, count in num.items()]
        about = f"Codes moved along a direction: {', '.join(words)}"
        shown = moved(scene, direction, self.strengths, about)
        values = {"length": direction.length}
        notes = [note for part in codes.values() for note in part.notes]
        if len(codes) < len(parts):
            notes.append("with nothing on the other side, the direction begins at the code 0")
        made_of = _ingredients(codes)
        return shown.drawing([made_of, shown.sheet], values, notes=notes)


def _sides(
    scene: Scene, split: Split, label: int, *, against: int | None, num: int
) -> tuple[Tensor, Tensor]:
    """Codes of a split of the class, and of the other or all others."""
    found = scene.encodings(split, num=num, evenly=True)
    assert found.y is not None
    negative = found.y != label if against is None else found.y == against
    sides = found.z[found.y == label], found.z[negative]
    for side, name in zip(sides, (label, "others" if against is None else against), strict=True):
        if not len(side):
            raise ValueError(
                f"label={label}: no image of class {name} among the {len(found.z):,} of "
                f"split={split}; raise tool.num, or choose other classes"
            )
    return sides


def _codes(scene: Scene, name: str, items: Sequence[int | str]) -> Codes:
    """Codes of the images of an option."""
    try:
        return scene.of(items).codes(1)
    except RunError as error:
        text = str(error).replace("images:", f"{name}:").replace("images=", f"tool.{name}=")
        raise ValueError(text) from error


def _ingredients(codes: dict[str, Codes]) -> Sheet:
    """The images that are added and subtracted."""
    rows = {name: part.inputs for name, part in codes.items() if part.inputs is not None}
    return Sheet(
        "A direction from images: mean code of the added minus that of the subtracted",
        [list(inputs.x) for inputs in rows.values()],
        row_labels=[f"{SIGNS[name]} {name}" for name in rows],
        captions=[codes[name].names for name in rows],
        marked=frozenset((r, c) for r, part in enumerate(rows.values()) for c in range(len(part))),
    )


def _strengths(strengths: Sequence[float]) -> list[float]:
    """Checked."""
    found = list(strengths)
    if not found or found[0] <= 0 or sorted(set(found)) != found:
        raise ValueError(
            f"strengths must be one or more ascending numbers above 0, got {found}; each is shown "
            "backwards too, and the reconstruction between"
        )
    return found


def _listed(items: Sequence[int | str] | int | str) -> list[int | str]:
    """One image or several."""
    return [items] if isinstance(items, int | str) else list(items)
