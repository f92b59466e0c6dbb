"""Reconstructions against the images they are of: squared error, PSNR, SSIM, LPIPS."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from torch import Tensor, nn

from ganvas.data.weights_file import weights_file
from ganvas.evaluation.measure import Measure
from ganvas.metrics.perceptual import BACKBONE, LPIPS
from ganvas.metrics.reconstruction import (
    LEAST_WINDOW,
    ROUNDING_MSE,
    SIGMA,
    mean_and_error,
    pooled_psnr,
    psnr,
    squared_error,
    ssim,
    ssim_window,
)
from ganvas.nn.extractor import unit, weights_hash
from ganvas.protocols import Decodes, HasPosterior, Reconstructs, labels_for
from ganvas.types import POINT_SHAPE, Batch, Finding, ImageShape

if TYPE_CHECKING:
    from ganvas.data import ImageData
    from ganvas.evaluation.subject import Subject

_log = logging.getLogger(__name__)

Decoding = Callable[[Any, Batch], Tensor]
"""From a model and a batch to reconstructions in the model's value range."""

Distance = Callable[[Tensor, Tensor], Tensor]
"""From images and reconstructions in [0, 1] to one value per image, `(B,)`."""

SAMPLED = "sampled_"
DIRECTIONS = {
    "mse_per_pixel": False,
    "mse_per_image": False,
    "psnr": True,
    "psnr_pooled": True,
    "ssim": True,
    "lpips": False,
}


class ReconstructionMeasure(Measure):
    """Errors of reconstructions, means over all images of the split, with pixels in [0, 1].

    - `mse_per_pixel`, `mse_per_image`: squared error, mean and sum over pixels and channels;
    - `psnr`: mean of the images' PSNR in dB. An error below that of rounding to 8 bits counts as
      that, so an exact image has 58.9 dB and not infinitely many;
    - `psnr_pooled`: PSNR of `mse_per_pixel`; the more errors differ, the lower it is than `psnr`;
    - `ssim`: structural similarity in windows of 11 pixels, or of the largest odd number that the
      images hold; left out below 7;
    - `lpips`: see `LPIPS`; left out for other images than grey and colour ones.

    They are of `reconstruct(x)`, which decodes the mean of q(z|x) where there is one. Names that
    begin with `sampled_` are of one z ~ q(z|x) for each image, its noise a function of the image's
    place. Reconstructions are as the model gives them, neither rounded nor clamped. Binarised
    images are compared as they are, binary, with their grey reconstructions.

    Args:
        lpips: true, false, or "auto": if the file of its backbone is in `paths.weights_dir`.
    """

    directions: ClassVar[Mapping[str, bool]] = {
        prefix + name: better for prefix in ("", SAMPLED) for name, better in DIRECTIONS.items()
    }

    def __init__(self, *, lpips: bool | Literal["auto"]) -> None:
        self.lpips = lpips
        self._network: LPIPS | None = None
        self._told: set[str] = set()

    def unfit(self, model: type[nn.Module], data: ImageData) -> str | None:
        """Where nothing is reconstructed, and points."""
        if not issubclass(model, Reconstructs):
            return "reconstructs nothing"
        if data.image_shape == POINT_SHAPE:
            return "is trained on points, which are no pictures (metrics=losses has their error)"
        return None

    def measure(self, subject: Subject) -> Mapping[str, Finding]:
        """See the class.

        Raises:
            DataError: if LPIPS is asked for and the file of its backbone can't be had.
        """
        model, distances = subject.model, self._distances(subject)

        def errors(batch: Batch, decode: Decoding) -> dict[str, Tensor]:
            real, fake = (unit(x, model.value_range) for x in (batch.x, decode(model, batch)))
            return {name: distance(real, fake) for name, distance in distances.items()}

        findings: dict[str, Finding] = {}
        for prefix, decode in decodings(model).items():
            found = subject.collect(partial(errors, decode=decode), subject.batches())
            values = self._findings(found, model.image_shape)
            findings |= {prefix + name: finding for name, finding in values.items()}
        return findings

    def _distances(self, subject: Subject) -> dict[str, Distance]:
        """Those that these images allow; what is left out is told once."""
        distances: dict[str, Distance] = {"mse": squared_error}
        if window := ssim_window(subject.model.image_shape):
            distances["ssim"] = partial(ssim, window=window)
        else:
            self._tell(f"ssim is left out: it needs images of at least {LEAST_WINDOW} pixels")
        if network := self._lpips(subject):
            distances["lpips"] = network
        return distances

    def _lpips(self, subject: Subject) -> LPIPS | None:
        """Its network on the model's device, where it is wanted and can be had."""
        if self.lpips is False:
            return None
        channels = subject.model.image_shape[0]
        if channels not in (1, 3):
            self._tell(f"lpips is left out: it needs images of 1 or 3 channels, got {channels}")
            return None
        if self._network is None:
            folder, name = Path(subject.weights_dir or "."), Path(BACKBONE).name
            if self.lpips == "auto" and not (folder / name).is_file():
                self._tell(f"lpips is left out: {folder / name} is missing (from {BACKBONE})")
                return None
            digits = name.removesuffix(".pth").rpartition("-")[2]
            file = weights_file(name, weights_dir=folder, url=BACKBONE, sha256_prefix=digits)
            self._network = LPIPS(file)
        return self._network.to(subject.device)

    def _tell(self, reason: str) -> None:
        if reason not in self._told:
            _log.warning(reason)
        self._told.add(reason)

    def _findings(self, errors: Mapping[str, Tensor], shape: ImageShape) -> dict[str, Finding]:
        """Means over images, and what each of them depends on."""
        mse, plain = errors["mse"], {"quantizer": "none"}
        (mean, error), pixels = mean_and_error(mse), math.prod(shape)
        decibel = {**plain, "data_range": 1.0, "least_mse": ROUNDING_MSE}
        found = {
            "mse_per_pixel": Finding(mean, error, plain),
            "mse_per_image": Finding(pixels * mean, error and pixels * error, plain),
            "psnr": Finding(*mean_and_error(psnr(mse, least_mse=ROUNDING_MSE)), decibel),
            "psnr_pooled": Finding(*pooled_psnr(mse, least_mse=ROUNDING_MSE), decibel),
        }
        if "ssim" in errors:
            window = {"data_range": 1.0, "window": ssim_window(shape), "window_sigma": SIGMA}
            found["ssim"] = Finding(*mean_and_error(errors["ssim"]), {**plain, **window})
        if self._network and "lpips" in errors:
            network = {"network": "AlexNet", "weights": weights_hash(self._network)}
            found["lpips"] = Finding(*mean_and_error(errors["lpips"]), {**plain, **network})
        return found


def decodings(model: Any) -> dict[str, Decoding]:
    """How a model reconstructs, by the prefix of the values' names."""
    sampled = isinstance(model, HasPosterior) and isinstance(model, Decodes)
    return {"": _from_mean, **({SAMPLED: _from_sample} if sampled else {})}


def _from_mean(model: Any, batch: Batch) -> Tensor:
    return model.reconstruct(batch.x, **labels_for(model, batch.y))


def _from_sample(model: Any, batch: Batch) -> Tensor:
    labels = labels_for(model, batch.y)
    posterior = model.posterior(batch.x, **labels)
    z = posterior.sample(model.noise(batch, posterior.mu.shape[1]))
    return model.decode(z, **labels)
