"""Statistics of real images in features, kept on disk under a hash of all they depend on."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor

from ganvas.data.content import combine, file_lock, writing_to
from ganvas.data.tensor_file import read_tensors, write_tensors
from ganvas.errors import DataError, GanvasWarning
from ganvas.metrics.frechet import Moments
from ganvas.nn.extractor import Extractor
from ganvas.types import Features


class Reference:
    """Real images in the features of one network.

    Features, moments (with the root of the covariance) and radii are found once and kept on disk.
    The name of the files is a SHA-256 of the pixels, the network, its weights, layer and transform,
    and the number type: whatever changes, the statistics are computed anew. A damaged file is made
    again, and a cache that can't be written is done without, each with a warning. Any number of
    processes may ask at once: one computes, the others wait.

    Args:
        content: hash of the images as metrics see them, their number and order.
        extractor: of features, on the device to compute on.
        images: the images, uint8 or floats in [0, 1], batch by batch.
        folder: where statistics are kept; None for in memory only.
    """

    def __init__(
        self,
        content: str,
        *,
        extractor: Extractor,
        images: Callable[[], Iterator[Tensor]],
        folder: Path | None,
    ) -> None:
        identity = [f"{k}={v}" for k, v in sorted(extractor.identity().items())]
        self.key = combine(content, *identity, "float32")
        self._extractor, self._images = extractor, images
        self._folder = None if folder is None else folder / self.key[:32]

    @cached_property
    def features(self) -> Features:
        """In the order of the images, on the CPU."""
        found = self.kept("features", self._extract)
        return Features(found["vectors"], found.get("logits"))

    @cached_property
    def moments(self) -> Moments:
        """Of the features, with the root of their covariance."""
        found = self.kept("moments", lambda: Moments.of(self.features.vectors).with_root().tensors)
        return Moments.from_tensors(found)

    def kept(self, name: str, make: Callable[[], Mapping[str, Tensor]]) -> dict[str, Tensor]:
        """Tensors by name, from disk where they are there, else made and written.

        Args:
            name: of the file.
            make: computes them.

        Returns:
            The same from disk and anew; of a cache that can't be written, with a warning.
        """
        if self._folder is None:
            return dict(make())
        file = self._folder / f"{name}.safetensors"
        if (found := read_tensors(file)) is not None:
            return found
        with ExitStack() as stack:
            with _going_on():
                stack.enter_context(file_lock(file.with_suffix(".lock")))
                found = read_tensors(file)  # another process may have been faster
            if found is None:
                found = dict(make())
                with _going_on(), writing_to(file.parent):
                    write_tensors(file, found, {"key": self.key, "what": name})
        return found

    @torch.no_grad()
    def _extract(self) -> dict[str, Tensor]:
        parts = [self._extractor(images) for images in self._images()]
        found = {"vectors": torch.cat([part.vectors.cpu() for part in parts])}
        if parts[0].logits is not None:
            found["logits"] = torch.cat([p.logits.cpu() for p in parts if p.logits is not None])
        return found


@contextmanager
def _going_on() -> Iterator[None]:
    """Statistics that can't be kept are of use all the same: a `DataError` becomes a warning."""
    try:
        yield
    except DataError as error:
        warnings.warn(f"{error}; until then it is computed anew", GanvasWarning, stacklevel=4)
