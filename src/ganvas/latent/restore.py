"""What a model that was trained for it makes of damaged images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor

from ganvas.latent.options import within
from ganvas.latent.sheet import Sheet
from ganvas.latent.tool import Drawing, Tool
from ganvas.metrics.reconstruction import psnr, squared_error
from ganvas.nn.corruptions import Corruption
from ganvas.nn.noise import keyed_rows
from ganvas.protocols import Corrupts, Reconstructs

if TYPE_CHECKING:
    from ganvas.latent.inputs import Inputs
    from ganvas.latent.scene import Scene

NOISE_STREAM = 7_001
"""Key of the noise, apart from what models draw."""

EXAMPLE = (
    "one of `ganvas list corruptions`, e.g. +corruption@tool.corruption=gaussian, in Python "
    '{"_target_": "ganvas.nn.corruptions.GaussianCorruption", "std": 1}'
)
"""How a corruption is given."""

ROW = 8
"""Images beside each other."""


@dataclass(frozen=True)
class Damage:
    """What images go through, in words and as a function.

    Attributes:
        words: of the corruption.
        trained: words of the one that the model was trained to undo.
        corrupted: images `(N, C, H, W)`, 0 and 1 being black and white; noise may leave [0, 1].
    """

    words: str
    trained: str
    corrupted: Tensor

    @property
    def title(self) -> str:
        """What is undone, and whether the model learnt to."""
        known = "as in training" if self.words == self.trained else f"trained on {self.trained}"
        return f"Images restored from {self.words}, {known}"


class Restore(Tool):
    """Denoising, inpainting, colourisation or super-resolution: what the model was trained for.

    Images are corrupted as in training (or otherwise, to see how far that carries), restored by one
    pass through the network, and compared with what they were. Captions are PSNRs in dB of the
    panels as shown, in [0, 1], against the originals: 10 log₁₀ (1 / mean squared error).

    Args:
        corruption: in the place of the model's own; None for that.
        damaged: whether the images are damaged already: nothing is corrupted or compared.
        num: images of the split where none are named.

    Raises:
        ValueError: for a value out of range, or a corruption of images that are damaged already.
    """

    needs: ClassVar[Sequence[type]] = (Corrupts, Reconstructs)

    def __init__(self, *, corruption: Any, damaged: bool, num: int) -> None:
        if corruption is not None and not isinstance(corruption, Corruption):
            raise ValueError(
                f"corruption must be a corruption or null, got {corruption!r}; choose {EXAMPLE}"
            )
        if damaged and corruption is not None:
            raise ValueError(
                f"corruption must be null with damaged=true, where nothing is corrupted, "
                f"got {corruption}; leave out one of them"
            )
        within("num", num, least=1, most=100)
        self.corruption, self.damaged, self.num = corruption, damaged, num

    def draw(self, scene: Scene) -> Drawing:
        """See the class."""
        if self.damaged:
            return self._of_damaged(scene)
        found = scene.inputs(self.num)
        damage = self._damage(scene, found)
        restored = scene.reconstruct(replace(found, x=damage.corrupted))
        shown = damage.corrupted.clamp(0, 1)
        before, after = (psnr(squared_error(found.x, made)) for made in (shown, restored))
        sheet = _columns(
            damage.title,
            {"original": found.x, "corrupted": shown, "restored": restored},
            {
                "original": found.captions,
                "corrupted": _decibel(before),
                "restored": _decibel(after),
            },
        )
        better = f"{int((after > before).sum())} of {len(found)}"
        tensors = {"original": found.x, "corrupted": damage.corrupted, "restored": restored}
        return Drawing(
            sheet,
            values={
                "corruption": damage.words,
                "trained_on": damage.trained,
                "psnr_corrupted": before.mean().item(),
                "psnr_restored": after.mean().item(),
                "nearer_than_corrupted": better,
            },
            tensors={**tensors, "psnr_corrupted": before, "psnr_restored": after},
            inputs=found.captions,
            notes=[*found.notes, "captions: PSNR in dB against the original; larger is nearer"],
        )

    def _damage(self, scene: Scene, found: Inputs) -> Damage:
        """The images corrupted; the noise of the i-th is a function of (seed, i)."""
        model: Any = scene.view.module
        size = found.x[0].numel()
        noise = keyed_rows(len(found), size, scene.seed, NOISE_STREAM, device="cpu")
        noise, trained = noise.view_as(found.x), model.corruption_words()
        if self.corruption is not None:
            return Damage(str(self.corruption), trained, self.corruption(found.x, noise))
        low, high = model.value_range
        with torch.no_grad():
            made = model.corrupt(
                (found.x * (high - low) + low).to(model.device), noise.to(model.device)
            )
        return Damage(trained, trained, ((made - low) / (high - low)).cpu())

    def _of_damaged(self, scene: Scene) -> Drawing:
        """Given images as they are, and restored."""
        if scene.request.images is None:
            raise ValueError(
                "damaged=true needs the damaged images, got none; name them, e.g. images=[old.png]"
            )
        found = scene.inputs(None)
        restored = scene.reconstruct(found)
        model: Any = scene.view.module
        words = model.corruption_words()
        sheet = _columns(
            f"Damaged images restored by a model trained on {words}",
            {"as given": found.x, "restored": restored},
            {"as given": found.captions},
        )
        return Drawing(
            sheet,
            values={"trained_on": words},
            tensors={"given": found.x, "restored": restored},
            inputs=found.captions,
            notes=found.notes,
        )


def _columns(title: str, images: dict[str, Tensor], captions: dict[str, Sequence[str]]) -> Sheet:
    """Images beneath each other by kind, `ROW` beside each other; the first kind was given."""
    num = len(next(iter(images.values())))
    rows: list[Sequence[Tensor]] = []
    texts: list[Sequence[str]] = []
    marked: set[tuple[int, int]] = set()
    for start in range(0, num, ROW):
        part = slice(start, start + ROW)
        first = next(iter(images))
        marked |= {(len(rows), c) for c in range(len(images[first][part]))}
        rows += [list(made[part]) for made in images.values()]
        texts += [list(captions.get(kind, ())[part]) for kind in images]
    labels = [*images] * (len(rows) // len(images))
    return Sheet(title, rows, row_labels=labels, captions=texts, marked=frozenset(marked))


def _decibel(values: Tensor) -> list[str]:
    return ["exact" if value.isinf() else f"{value:.1f} dB" for value in values]
