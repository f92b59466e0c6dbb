"""What a tool sees: the model, the images that were given, and the run's data, each when asked."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ganvas.errors import GanvasWarning, RunError
from ganvas.latent.inputs import Given, Inputs, Request, chosen_images
from ganvas.protocols import Encodes, labels_for
from ganvas.types import Batch

if TYPE_CHECKING:
    from ganvas.data import ImageData
    from ganvas.evaluation.priors import CodeSource
    from ganvas.evaluation.subject import Subject
    from ganvas.models.view import ModelView
    from ganvas.types import Split

BATCH = 256


@dataclass(frozen=True)
class Codes:
    """Where a tool begins in latent space.

    Attributes:
        z: codes `(N, Z)`, on the model's device.
        y: labels `(N,)` that a conditional model decodes them with; None for others.
        names: of each, with the class where it is known.
        inputs: the images that they were encoded from; None for random ones.
    """

    z: Tensor
    y: Tensor | None
    names: Sequence[str]
    inputs: Inputs | None

    @property
    def notes(self) -> list[str]:
        """What became of the images."""
        return [] if self.inputs is None else list(self.inputs.notes)


@dataclass(frozen=True)
class Encodings:
    """Codes `(N, Z)` of a split's images, their labels `(N,)` or None; on the CPU, in order."""

    z: Tensor
    y: Tensor | None


class Scene:
    """A trained model and what is around it; whatever a tool does not ask for is not loaded.

    Args:
        folder: of the run.
        request: of the user.
        load_view: gives the model.
        load_data: gives the run's images, prepared.
        load_codes: gives what draws random codes for the model.
        load_subject: gives the model as evaluation sees it, with features.
    """

    def __init__(
        self,
        folder: Path,
        request: Request,
        *,
        load_view: Callable[[], ModelView],
        load_data: Callable[[], ImageData],
        load_codes: Callable[[], CodeSource],
        load_subject: Callable[[], Subject],
    ) -> None:
        self.folder, self.request = folder, request
        self._load_view, self._load_data = load_view, load_data
        self._load_codes, self._load_subject = load_codes, load_subject

    @cached_property
    def view(self) -> ModelView:
        """The model: images in [0, 1] to codes and back, in evaluation mode."""
        return self._load_view()

    @cached_property
    def data(self) -> ImageData:
        """The run's images."""
        return self._load_data()

    @cached_property
    def subject(self) -> Subject:
        """For loops over a split: `batches`, `collect`, and features where a tool needs them."""
        return self._load_subject()

    @cached_property
    def prior(self) -> CodeSource:
        """What draws random codes: the model's own prior, or the one that was asked for.

        Raises:
            RunError: if the model has none, or it can't be fitted.
        """
        return self._load_codes()

    def of(self, images: Sequence[Given]) -> Scene:
        """The same model and data with other images."""
        return Scene(
            self.folder,
            replace(self.request, images=images),
            load_view=lambda: self.view,
            load_data=lambda: self.data,
            load_codes=lambda: self.prior,
            load_subject=lambda: self.subject,
        )

    @property
    def seed(self) -> int:
        """Of all that is drawn."""
        return self.request.seed

    @property
    def is_random(self) -> bool:
        """Whether codes are drawn, since they were asked for or the model has no encoder."""
        if self.request.images is None:
            return not isinstance(self.view.module, Encodes)
        return self.request.images == "random"

    def inputs(self, num: int | None, *, least: int = 1) -> Inputs:
        """The given images, or the first ones of the split.

        Args:
            num: so many of the split where none were given; None for all.
            least: that the tool needs.

        Raises:
            RunError: fewer images than that, or images that don't exist.
            DataError: a file that can't be read.
        """
        if self.request.images == "random":
            raise RunError("images=random: this tool works on images; name some, e.g. images=[0,1]")
        found = chosen_images(self.data, self.request, num=num)
        if len(found) < least:
            raise RunError(
                f"images: at least {least} are needed, got {len(found)}; name more, "
                f"e.g. images=[{','.join(map(str, range(least)))}]"
            )
        return self._labelled(found)

    def codes(self, num: int, *, least: int = 1) -> Codes:
        """Codes of the given images, or random ones: asked for, or for want of an encoder.

        Args:
            num: so many where no images were given.
            least: that the tool needs.

        Raises:
            RunError: as in `inputs`; or the model can't encode the images that were given.
        """
        if self.is_random:
            return self.noise(max(num, least))
        if not isinstance(self.view.module, Encodes):
            raise RunError(
                f"images: {type(self.view.module).__name__} has no encoder, so that images have no "
                "codes; choose images=random, or tool=project to search for one"
            )
        found = self.inputs(num, least=least)
        y = found.given(self.view.module)
        return Codes(self.encode(found.x, y), y, found.captions, found)

    def noise(self, num: int) -> Codes:
        """Random codes, whatever images were given.

        Raises:
            RunError: if the model has no prior, or no such class.
        """
        z = self.prior.codes(num, seed=self.seed).to(self.view.module.device)
        y = self.view.class_labels(num, self.request.classes)
        classes = [""] * num if y is None else [f" (class {k})" for k in y.tolist()]
        names = [f"noise {i}{of_class}" for i, of_class in enumerate(classes)]
        return Codes(finite(z, what="codes"), y, names, None)

    def encode(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """Images `(N, C, H, W)` in [0, 1] to codes `(N, Z)` on the model's device; `y` `(N,)`.

        Raises:
            RunError: if the model makes NaN.
        """
        with torch.no_grad():
            codes = torch.cat([self.view.encode(x[i], _at(y, i)) for i in _blocks(len(x))])
        return finite(codes, what="codes")

    def decode(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        """Codes `(N, Z)` to images `(N, C, H, W)` in [0, 1] on the CPU; `y` as `Codes` has it.

        Raises:
            RunError: if the model makes NaN.
        """
        with torch.no_grad():
            images = torch.cat([self.view.decode(z[i], _at(y, i)).cpu() for i in _blocks(len(z))])
        return finite(images, what="images")

    def reconstruct(self, found: Inputs) -> Tensor:
        """Reconstructions `(N, C, H, W)` in [0, 1] of given images, on the CPU.

        Raises:
            RunError: if an image has no class for a conditional model, or the model makes NaN.
        """
        y = found.given(self.view.module)
        with torch.no_grad():
            parts = [self.view.reconstruct(found.x[i], _at(y, i)) for i in _blocks(len(found))]
        return finite(torch.cat(parts).cpu(), what="images")

    def encodings(
        self, split: Split | None = None, *, num: int | None = None, evenly: bool = False
    ) -> Encodings:
        """Codes of `num` images of a split, all where None, with their labels.

        Args:
            split: that of the request where None.
            num: how many.
            evenly: at even distances in the split, not the first ones, which would be of few
                classes where files are sorted by class.

        Raises:
            RunError: if the split has no images, or the model makes NaN.
        """
        model = self.view.module
        assert isinstance(model, Encodes)

        def encode(batch: Batch) -> dict[str, Tensor]:
            labels = {} if batch.y is None else {"y": batch.y}
            return {"z": model.encode(batch.x, **labels_for(model, batch.y)), **labels}

        split = split or self.request.split
        there = self.data.counts[split]
        if not there:
            raise RunError(f"split={split}: {self.data.name} has no such images; choose another")
        num = there if num is None else min(num, there)
        positions = torch.arange(num) * there // num if evenly else torch.arange(num)
        batches = self.subject.batches(split, num=int(positions[-1]) + 1)
        found = self.subject.collect(encode, _only(batches, positions))
        return Encodings(finite(found["z"], what="codes"), found.get("y"))

    def _labelled(self, found: Inputs) -> Inputs:
        """Inputs whose files have the classes that were given for them, in turn."""
        if self.request.y is None:
            return found
        y = torch.full((len(found),), -1) if found.y is None else found.y.clone()
        nameless = (y < 0).nonzero().flatten()
        given = self.view.class_labels(len(nameless), self.request.classes)
        assert given is not None  # or it would have been refused
        if not len(nameless):
            text = f"y={self.request.y}: left aside, since images of the data have their own class"
            warnings.warn(text, GanvasWarning, stacklevel=2)
        y[nameless] = given.cpu()
        return replace(found, y=y)


def finite(values: Tensor, *, what: str) -> Tensor:
    """The values, on the CPU or where they are.

    Raises:
        RunError: where some are NaN or infinite.
    """
    if not values.isfinite().all():
        raise RunError(
            f"the model makes NaN or infinite {what}; its weights have diverged, choose an earlier "
            "checkpoint"
        )
    return values


def _only(batches: Iterable[Batch], positions: Tensor) -> Iterator[Batch]:
    """The images at some positions of a split, from the batches of it."""
    for batch in batches:
        first = batch.start + batch.offset
        mine = torch.isin(torch.arange(first, first + len(batch)), positions).to(batch.x.device)
        if mine.any():
            yield replace(batch, x=batch.x[mine], y=None if batch.y is None else batch.y[mine])


def _blocks(num: int) -> Iterator[slice]:
    """So many images or codes in parts that fit into memory."""
    return (slice(i, i + BATCH) for i in range(0, num, BATCH))


def _at(y: Tensor | None, part: slice) -> Tensor | None:
    return None if y is None else y[part]
