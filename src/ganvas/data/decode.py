"""From image files and arrays to uint8 pixels of one size.

What happens to each mode of a file (documented in `docs`, tested in `tests/data`):

- EXIF orientation is applied; of an animation the first frame is taken;
- 16-bit grey is divided by 257 and rounded; Pillow itself cuts 16-bit colour to its high bytes;
- palette and CMYK become RGB; an image with transparency is laid over white;
- then one channel is luma (ITU-R 601), three are RGB.
"""

from __future__ import annotations

import struct
import sys
import time
import zlib
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ganvas.data.content import num_workers
from ganvas.errors import DataError

if TYPE_CHECKING:
    from PIL import Image as PILImage

_CHUNK = 32
_PROGRESS_AFTER_SECONDS = 2.0
_RESIZE_CHUNK = 1024


@dataclass(frozen=True, slots=True)
class Fit:
    """How a picture is brought to size: the centred square, resized with antialiased bilinear.

    Attributes:
        side: of the result, in pixels.
        channels: 1 or 3.
        upscale: whether pictures whose shorter side is below `side` are enlarged or refused.
    """

    side: int
    channels: int
    upscale: bool = False


def decode_files(
    paths: Sequence[Path], *, fit: Fit, skip_bad: bool = False
) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    """Decode files on all cores (Pillow releases the interpreter lock while it works).

    Args:
        paths: of the files.
        fit: the size and channels wanted.
        skip_bad: leave out files that can't be decoded, where otherwise the first of them raises.

    Returns:
        uint8 images `(N, C, S, S)`, the indices `(N,)` of their files, and the reason for each
        file left out.

    Raises:
        DataError: a file that can't be decoded, by name.
    """
    from PIL import Image

    Image.init()  # loading format plugins isn't safe in several threads at once
    images = np.empty((len(paths), fit.channels, fit.side, fit.side), dtype=np.uint8)
    starts = range(0, len(paths), _CHUNK)
    bad: dict[int, str] = {}

    def decode_chunk(start: int) -> dict[int, str]:
        failures = {}
        for index in range(start, min(start + _CHUNK, len(paths))):
            try:
                images[index] = read_image(paths[index], fit=fit)
            except DataError as error:
                failures[index] = str(error)
                if not skip_bad:
                    break
        return failures

    with _pool() as pool, _progress(len(paths)) as advance:
        futures: list[Future[dict[int, str]]] = [pool.submit(decode_chunk, s) for s in starts]
        for future in futures:
            failures = future.result()
            if failures and not skip_bad:
                raise DataError(next(iter(failures.values())))
            bad |= failures
            advance(_CHUNK)
    kept = np.array([index for index in range(len(paths)) if index not in bad], dtype=np.int64)
    return (images[kept] if bad else images), kept, tuple(bad.values())


@contextmanager
def _pool() -> Iterator[ThreadPoolExecutor]:
    """A pool that drops what it hasn't begun when an error or Ctrl-C comes."""
    pool = ThreadPoolExecutor(num_workers())
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


@contextmanager
def _progress(total: int) -> Iterator[Any]:
    """A bar on standard error, on a terminal, once decoding has taken two seconds."""
    if not sys.stderr.isatty():
        yield lambda _num: None
        return
    from rich.console import Console
    from rich.progress import MofNCompleteColumn, Progress, TimeRemainingColumn

    columns = (*Progress.get_default_columns()[:-1], MofNCompleteColumn(), TimeRemainingColumn())
    bar = Progress(*columns, console=Console(stderr=True), transient=True)
    task = bar.add_task("decoding images", total=total)
    started = time.monotonic()

    def advance(num: int) -> None:
        bar.advance(task, num)
        if not bar.live.is_started and time.monotonic() - started > _PROGRESS_AFTER_SECONDS:
            bar.start()

    try:
        yield advance
    finally:
        bar.stop()


def read_image(path: Path, *, fit: Fit) -> np.ndarray:
    """One file as uint8 `(C, S, S)`.

    Raises:
        DataError: unreadable, truncated, or smaller than the crop.
    """
    remedy = "mend or remove the file, or set dataset.on_error=skip"
    with opened_image(path, remedy=remedy) as image:
        return image_to_array(image, fit=fit)


@contextmanager
def opened_image(path: Path, *, remedy: str) -> Iterator[PILImage.Image]:
    """The image in a file; errors on the way, and while it is worked on, name the file.

    Raises:
        DataError: unreadable or truncated, with the remedy.
    """
    from PIL import Image

    try:
        with Image.open(path) as opened:
            opened.load()
            yield opened
    except DataError as error:
        raise DataError(f"{path}: {error}") from None
    except (
        OSError,
        SyntaxError,
        ValueError,
        EOFError,
        struct.error,
        zlib.error,
        Image.DecompressionBombError,
    ) as error:
        raise DataError(f"{path}: not a readable image ({error}); {remedy}") from error


def image_to_array(image: PILImage.Image, *, fit: Fit) -> np.ndarray:
    """A Pillow image as uint8 `(C, S, S)`: its mode converted, its centred square resized."""
    from PIL import Image, ImageOps

    image = convert_mode(ImageOps.exif_transpose(image), channels=fit.channels)
    width, height = image.size
    short = min(width, height)
    if short < fit.side and not fit.upscale:
        raise DataError(
            f"{width}x{height} pixels are fewer than the crop of {fit.side}x{fit.side}; choose a "
            "smaller dataset.image_size, or enlarge with dataset.source.upscale=true"
        )
    left, top = (width - short) // 2, (height - short) // 2
    box = (left, top, left + short, top + short)
    if short == fit.side:
        image = image.crop(box)
    else:
        image = image.resize((fit.side, fit.side), Image.Resampling.BILINEAR, box=box)
    pixels = np.asarray(image)
    return pixels[None] if fit.channels == 1 else pixels.transpose(2, 0, 1)


def convert_mode(image: PILImage.Image, *, channels: int) -> PILImage.Image:
    """Any mode to 8-bit luma or RGB, as the module's docstring says."""
    from PIL import Image

    if image.mode.startswith("I;16"):
        wide = np.asarray(image).astype(np.float64)
        image = Image.fromarray(np.rint(wide / 257).astype(np.uint8))
    elif image.mode in ("I", "F"):
        raise DataError(f"mode {image.mode} (32-bit grey) has no fixed scale; save it as 8 bit")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, (255, 255, 255, 255))
        image = Image.alpha_composite(white, image).convert("RGB")
    return image.convert("L" if channels == 1 else "RGB")


def fit_arrays(images: np.ndarray, *, side: int | None) -> np.ndarray:
    """Bring uint8 `(N, C, H, W)` to `(N, C, side, side)`; untouched where that is their size.

    The centred square is resized with antialiased bilinear interpolation in float32, rounded.
    Unlike files, arrays are enlarged where `side` asks for it.
    """
    import torch
    from torch.nn import functional

    height, width = images.shape[2:]
    if side is None or (height, width) == (side, side):
        return images
    short = min(height, width)
    top, left = (height - short) // 2, (width - short) // 2
    square = images[:, :, top : top + short, left : left + short]
    if short == side:
        return np.ascontiguousarray(square)
    out = np.empty((*images.shape[:2], side, side), dtype=np.uint8)
    for start in range(0, len(images), _RESIZE_CHUNK):
        part = torch.from_numpy(square[start : start + _RESIZE_CHUNK].astype(np.float32))
        sized = functional.interpolate(part, size=(side, side), mode="bilinear", antialias=True)
        out[start : start + _RESIZE_CHUNK] = sized.round_().clamp_(0, 255).numpy()
    return out


def to_uint8(values: np.ndarray, *, what: str) -> np.ndarray:
    """uint8 as it is, or floats in [0, 1] as round(255 v).

    Raises:
        DataError: another type, or floats outside [0, 1] (NaN too).
    """
    if values.dtype == np.uint8:
        return values
    if not np.issubdtype(values.dtype, np.floating):
        raise DataError(
            f"{what}: images must be uint8 or float in [0, 1], got {values.dtype}; convert them"
        )
    if values.size and not (values.min() >= 0 and values.max() <= 1):
        raise DataError(
            f"{what}: float images must lie in [0, 1], got [{values.min():g}, {values.max():g}]; "
            "rescale them, or save them as uint8"
        )
    return np.rint(values.astype(np.float32, copy=False) * 255).astype(np.uint8)
