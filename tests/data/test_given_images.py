"""Files of any size and mode become images like those of a data set."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from data_helpers import Numbered, numbered, pixels, save
from PIL import Image
from torch import Tensor

from ganvas.data import ImageData
from ganvas.data.binarization import binarized, evaluation_draws
from ganvas.data.given import given_images, split_images, transform_words
from ganvas.data.sources.digits import Digits
from ganvas.data.sources.folder import ImageFolder
from ganvas.errors import DataError
from ganvas.types import ImageShape, Split

RED, GREEN = (255, 0, 0), (0, 255, 0)


class Blank(Numbered):
    """Black images of any shape."""

    def __init__(self, shape: ImageShape) -> None:
        super().__init__()
        self.shape = shape

    @property
    def image_shape(self) -> ImageShape:
        return self.shape

    def read(self, split: Split) -> tuple[np.ndarray, np.ndarray | None]:
        return np.zeros((20, *self.shape), dtype=np.uint8), None


def data_of(channels: int, height: int, width: int, **options: object) -> ImageData:
    return numbered(source=Blank((channels, height, width)), **options)


def given(item: Path | Image.Image, channels: int = 3, side: int = 4, **options: bool) -> Tensor:
    (image,) = given_images([item], data=data_of(channels, side, side), **options)
    assert image.dtype == torch.float32
    return image


def plain(*values: float) -> Tensor:
    """One colour, 4×4."""
    return (torch.tensor(values) / 255)[:, None, None].expand(-1, 4, 4)


@pytest.mark.parametrize(
    ("mode", "colour", "seen"),
    [
        ("1", 1, (255, 255, 255)),
        ("L", 100, (100, 100, 100)),
        ("P", 0, (0, 0, 0)),
        ("LA", (100, 255), (100, 100, 100)),
        ("LA", (100, 0), (255, 255, 255)),  # over white
        ("RGB", (10, 20, 30), (10, 20, 30)),
        ("RGBA", (10, 20, 30, 255), (10, 20, 30)),
        ("RGBA", (10, 20, 30, 0), (255, 255, 255)),
        ("I;16", 257 * 80, (80, 80, 80)),
    ],
)
def test_modes_of_files(
    mode: str, colour: int | tuple[int, ...], seen: tuple[int, ...], tmp_path: Path
) -> None:
    file = tmp_path / "image.png"
    Image.new(mode, (4, 4), colour).save(file)
    torch.testing.assert_close(given(file), plain(*seen))
    grey = round(float(np.dot((0.299, 0.587, 0.114), seen)))
    torch.testing.assert_close(given(file, channels=1), plain(grey), rtol=0, atol=1.01 / 255)


def test_cmyk_and_palettes(tmp_path: Path) -> None:
    ink, palette = tmp_path / "ink.jpg", tmp_path / "palette.png"
    Image.new("CMYK", (8, 8), (0, 255, 255, 0)).save(ink, quality=100)
    torch.testing.assert_close(given(ink), plain(*RED), rtol=0, atol=3 / 255)
    Image.new("RGB", (8, 8), GREEN).quantize(4).save(palette)
    torch.testing.assert_close(given(palette), plain(*GREEN))


def test_a_turned_photograph_stands_upright(tmp_path: Path) -> None:
    turned = Image.new("RGB", (4, 4), RED)
    turned.paste(GREEN, (0, 0, 4, 2))  # green above red
    exif = Image.Exif()
    exif[0x0112] = 3  # half a turn
    turned.save(tmp_path / "turned.png", exif=exif)
    image = given(tmp_path / "turned.png")
    assert image[1, 2:].eq(1).all()
    assert image[0, :2].eq(1).all()


def test_of_an_animation_the_first_frame(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (4, 4), colour) for colour in (RED, GREEN)]
    frames[0].save(tmp_path / "both.gif", save_all=True, append_images=frames[1:])
    torch.testing.assert_close(given(tmp_path / "both.gif"), plain(*RED))


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (2000, 3000), (5, 3)])
def test_any_size_of_one_colour_stays_that_colour(size: tuple[int, int]) -> None:
    torch.testing.assert_close(given(Image.new("RGB", size, (10, 20, 30))), plain(10, 20, 30))


def test_the_centred_square_is_cut() -> None:
    wide = Image.new("RGB", (12, 4), RED)
    wide.paste(GREEN, (4, 0, 8, 4))
    torch.testing.assert_close(given(wide), plain(*GREEN))
    torch.testing.assert_close(given(wide.transpose(Image.Transpose.ROTATE_90)), plain(*GREEN))


def test_oblong_data_cut_what_has_their_form(tmp_path: Path) -> None:
    data = data_of(1, 4, 6)
    exact = np.arange(24, dtype=np.uint8).reshape(4, 6)
    (image,) = given_images([save(tmp_path / "exact.png", exact)], data=data)
    torch.testing.assert_close(image, torch.from_numpy(exact)[None] / 255)
    high = Image.new("L", (6, 12), 50)
    high.paste(200, (0, 4, 6, 8))
    (image,) = given_images([high], data=data)
    assert tuple(image.shape) == (1, 4, 6)
    torch.testing.assert_close(image, torch.full((1, 4, 6), 200 / 255))
    assert "4×6" in transform_words(data)


@pytest.mark.parametrize("name", ["ä ö.png", "a [b] (c).png", "$x=y,z.png", "日本.png"])
def test_names_of_all_kinds(name: str, tmp_path: Path) -> None:
    torch.testing.assert_close(given(save(tmp_path / name, pixels(4))), plain(100, 100, 100))


def test_what_is_no_image_is_named(tmp_path: Path) -> None:
    whole = save(
        tmp_path / "whole.png", np.random.default_rng(0).integers(0, 255, (64, 64, 3), "uint8")
    )
    content = whole.read_bytes()
    bad = {
        "truncated.png": content[: len(content) // 2],
        "damaged.png": content[:60] + bytes(40) + content[100:],
        "text.png": b"no image at all",
        "empty.png": b"",
    }
    for name, broken in bad.items():
        (tmp_path / name).write_bytes(broken)
        with pytest.raises(DataError, match=f"{name}: not a readable image .*; give another file"):
            given(tmp_path / name)
    with pytest.raises(DataError, match=r"Is a directory.*; give another file"):
        given(tmp_path)
    Image.new("I", (4, 4), 7).save(tmp_path / "wide.tiff")
    with pytest.raises(DataError, match=r"wide.tiff: mode I .* save it as 8 bit"):
        given(tmp_path / "wide.tiff")


def test_files_of_an_image_folder_give_the_pixels_it_stores(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    for i, size in enumerate([(9, 9, 3), (20, 11, 3), (8, 8, 3), (40, 40)]):
        save(tmp_path / f"{i}.png", random.integers(0, 255, size, "uint8"))
    source = ImageFolder(tmp_path, image_size=8, test_size=0)
    data = numbered(source=source)
    files = sorted(tmp_path.iterdir())
    stored, _ = split_images(data, "train", range(4))
    torch.testing.assert_close(given_images(files, data=data), stored, rtol=0, atol=0)


def test_digits_saved_and_given_again(tmp_path: Path) -> None:
    data = numbered(source=Digits())
    stored, labels = split_images(data, "test", [3, 0, 3])
    assert labels is not None
    for i, image in enumerate(stored):
        save(tmp_path / f"{i}.png", (image[0] * 255).byte().numpy())
    again = given_images([tmp_path / f"{i}.png" for i in range(3)], data=data)
    torch.testing.assert_close(again, stored, rtol=0, atol=0)
    torch.testing.assert_close(stored[0], stored[2])
    inverted = given_images([tmp_path / "0.png"], data=data, invert=True)
    torch.testing.assert_close(inverted[0], 1 - stored[0])


@pytest.mark.parametrize("how", [None, "threshold", "dynamic"])
@pytest.mark.parametrize("split", ["test", "val", "train"])
def test_positions_are_what_the_loader_gives(how: str | None, split: Split) -> None:
    data = numbered(source=Numbered(num_train=600, num_test=520), val_size=280, binarization=how)
    num = data.counts[split]
    order = [num - 1, 0, 257, 3, 256]
    images, labels = split_images(data, split, order)
    loader = data.loader(split, value_range=(0, 1), seed=9, batch_size=100, in_order=True)
    batches = list(loader)
    x, y = torch.cat([b.x for b in batches]), torch.cat([b.y for b in batches if b.y is not None])
    torch.testing.assert_close(images, x[order], rtol=0, atol=0)
    torch.testing.assert_close(labels, y[order])


@pytest.mark.parametrize("how", ["threshold", "dynamic"])
def test_given_images_are_binarised_as_the_data_are(how: str) -> None:
    data = data_of(1, 4, 4, binarization=how)
    grey = np.linspace(0, 255, 16, dtype=np.uint8).reshape(4, 4)
    image, alone = (given_images([Image.fromarray(grey)] * n, data=data)[0] for n in (3, 1))
    torch.testing.assert_close(image, alone)
    assert set(image.unique().tolist()) == {0.0, 1.0}
    whole = torch.from_numpy(grey)[None, None]
    draws = partial(evaluation_draws, whole, start=0)
    torch.testing.assert_close(image, binarized(whole, data.binarization, draws=draws)[0] / 255)
    assert f"binarised ({how})" in transform_words(data)


def test_the_words_say_what_was_done() -> None:
    grey, colour = data_of(1, 8, 8), data_of(3, 8, 8)
    assert transform_words(grey) == "grey, centred part cut and resized to 8×8"
    assert transform_words(colour, invert=True).endswith("dark and bright swapped")
    assert transform_words(colour).startswith("RGB")
