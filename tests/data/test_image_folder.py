"""Folders of image files: layouts, modes and every kind of bad input."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from data_helpers import pixels, save
from PIL import Image

from ganvas.data import ImageData
from ganvas.data.decode import Fit, read_image
from ganvas.data.sources import ImageFolder
from ganvas.errors import ConfigError, DataError


def folder(root: Path, **options: object) -> ImageFolder:
    return ImageFolder(root, **{"image_size": 8, "test_size": 0, **options})  # type: ignore[arg-type]


def test_flat_folder_is_unlabelled_and_in_name_order(tmp_path: Path) -> None:
    for name, value in (("b.png", 20), ("a.PNG", 10), ("deep.webp", 30)):
        save(tmp_path / name, pixels(8, value=value), **({"lossless": True} if "w" in name else {}))
    (tmp_path / "notes.txt").write_text("not an image")
    save(tmp_path / ".hidden.png", pixels(8))
    source = folder(tmp_path)
    images, labels = source.read("train")
    assert images[:, 0, 0, 0].tolist() == [10, 20, 30]
    assert images.shape == (3, 3, 8, 8)
    assert labels is None
    assert (source.num_classes, source.count("train"), source.count("test")) == (0, 3, 0)


def test_class_folders_are_labels_at_any_depth(tmp_path: Path) -> None:
    save(tmp_path / "dog/1.png", pixels(8, value=1))
    save(tmp_path / "cat/more/2.jpg", pixels(8, value=2))
    save(tmp_path / "cat/3.jpeg", pixels(8, value=3))
    images, labels = folder(tmp_path).read("train")
    assert labels is not None
    assert labels.tolist() == [0, 0, 1]
    assert images[:, 0, 0, 0].tolist() == [3, 2, 1]
    assert folder(tmp_path).num_classes == 2


def test_one_subfolder_or_a_mixture_is_unlabelled(tmp_path: Path) -> None:
    save(tmp_path / "faces/1.png", pixels(8))
    assert folder(tmp_path).read("train")[1] is None
    save(tmp_path / "more/2.png", pixels(8))
    assert folder(tmp_path).read("train")[1] is not None
    save(tmp_path / "beside.png", pixels(8))
    assert folder(tmp_path).read("train")[1] is None


def test_own_train_and_test_folders_are_the_splits(tmp_path: Path) -> None:
    for split, name in (("train", "a"), ("train", "b"), ("test", "b")):
        save(tmp_path / split / name / "x.png", pixels(8))
    source = folder(tmp_path, test_size=0.5)
    train, test = source.read("train")[1], source.read("test")[1]
    assert train is not None
    assert test is not None
    assert (train.tolist(), test.tolist()) == ([0, 1], [1])
    save(tmp_path / "test/c/x.png", pixels(8))
    with pytest.raises(DataError, match="test/c: this class has no folder in train"):
        folder(tmp_path).files()


def test_test_split_is_fixed_by_names(tmp_path: Path) -> None:
    for index in range(20):
        save(tmp_path / f"{index}.png", pixels(8, value=index))

    def test_images() -> set[int]:
        return set(folder(tmp_path, test_size=0.25).read("test")[0][:, 0, 0, 0].tolist())

    first = test_images()
    assert len(first) == 5
    assert first == test_images()
    source = folder(tmp_path, test_size=0.25)
    assert first.isdisjoint(source.read("train")[0][:, 0, 0, 0].tolist())
    assert folder(tmp_path, test_size=0.001).count("test") == 1
    assert folder(tmp_path, test_size=3).count("test") == 3
    with pytest.raises(DataError, match="test_size=20 leaves nothing of 20 images"):
        folder(tmp_path, test_size=20).files()


def test_linked_folders_are_followed_once(tmp_path: Path) -> None:
    save(tmp_path / "store/1.png", pixels(8))
    (tmp_path / "root").mkdir()
    (tmp_path / "root/a").symlink_to(tmp_path / "store")
    (tmp_path / "root/a/back").symlink_to(tmp_path / "root")
    assert folder(tmp_path / "root").count("train") == 1


def test_centre_is_cropped_and_resized(tmp_path: Path) -> None:
    wide = np.zeros((16, 32, 3), dtype=np.uint8)
    wide[:, 8:24] = 200
    save(tmp_path / "wide.png", wide)
    tall = wide.transpose(1, 0, 2)
    save(tmp_path / "tall.png", tall)
    images, _ = folder(tmp_path).read("train")
    assert images.shape == (2, 3, 8, 8)
    # the filter may reach one pixel beyond the square at its border
    assert (images[:, :, 1:-1, 1:-1] == 200).all()


def test_resizing_is_that_of_pillow(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (20, 20, 3), dtype=np.uint8)
    path = save(tmp_path / "noise.png", noise)
    expected = Image.fromarray(noise).resize((8, 8), Image.Resampling.BILINEAR)
    got = read_image(path, fit=Fit(8, 3))
    assert np.array_equal(got, np.asarray(expected).transpose(2, 0, 1))


def modes(tmp_path: Path) -> dict[str, tuple[Path, list[int]]]:
    grey16 = save(tmp_path / "grey16.png", np.full((8, 8), 257 * 77 + 100, dtype=np.uint16))
    palette = tmp_path / "palette.png"
    image = Image.new("P", (8, 8), 1)
    image.putpalette([0, 0, 0, 10, 20, 30])
    image.save(palette)
    clear_palette = tmp_path / "clear.png"
    image.save(clear_palette, transparency=1)
    cmyk = tmp_path / "cmyk.jpg"
    Image.new("CMYK", (8, 8), (0, 255, 255, 0)).save(cmyk, quality=100)
    alpha = tmp_path / "alpha.png"
    Image.new("RGBA", (8, 8), (100, 0, 0, 51)).save(alpha)
    grey_alpha = tmp_path / "grey_alpha.png"
    Image.new("LA", (8, 8), (100, 0)).save(grey_alpha)
    bits = tmp_path / "bits.png"
    Image.new("1", (8, 8), 1).save(bits)
    return {
        "16-bit grey is divided by 257": (grey16, [77, 77, 77]),
        "palette becomes RGB": (palette, [10, 20, 30]),
        "transparent palette is laid over white": (clear_palette, [255, 255, 255]),
        "CMYK becomes RGB": (cmyk, [255, 0, 0]),
        "alpha is laid over white": (alpha, [224, 204, 204]),
        "grey with alpha too": (grey_alpha, [255, 255, 255]),
        "one bit is black or white": (bits, [255, 255, 255]),
    }


def test_every_mode_is_converted_as_documented(tmp_path: Path) -> None:
    for what, (path, expected) in modes(tmp_path).items():
        got = read_image(path, fit=Fit(8, 3))[:, 4, 4].astype(int)
        assert np.abs(got - expected).max() <= 2, what
        grey = read_image(path, fit=Fit(8, 1))
        luma = np.dot(expected, [0.299, 0.587, 0.114])
        assert grey.shape == (1, 8, 8)
        assert abs(int(grey[0, 4, 4]) - luma) <= 2, what


def test_exif_orientation_is_applied(tmp_path: Path) -> None:
    image = Image.fromarray(np.tile(np.arange(8, dtype=np.uint8) * 30, (8, 1)))
    exif = Image.Exif()
    exif[0x0112] = 3  # upside down
    image.save(tmp_path / "turned.png", exif=exif)
    got = read_image(tmp_path / "turned.png", fit=Fit(8, 1))
    assert got[0, 0].tolist() == [210, 180, 150, 120, 90, 60, 30, 0]


def test_missing_and_empty_folders_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"nowhere: no such folder; set dataset.root"):
        folder(tmp_path / "nowhere").files()
    assert folder(tmp_path / "nowhere").count("train") is None
    assert folder(tmp_path / "nowhere").num_classes is None
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"empty: no image found; put .png"):
        folder(tmp_path / "empty").files()


def test_class_folder_without_image_is_named(tmp_path: Path) -> None:
    save(tmp_path / "a/1.png", pixels(8))
    save(tmp_path / "b/1.png", pixels(8))
    folder(tmp_path).files()
    (tmp_path / "c").mkdir()
    (tmp_path / "c/readme.txt").write_text("nothing here")
    with pytest.raises(DataError, match=r"/c: this class folder has no image"):
        folder(tmp_path).files()


def spoil(root: Path) -> None:
    for index in range(8):
        noise = np.random.default_rng(index).integers(0, 256, (16, 16, 3), dtype=np.uint8)
        save(root / f"a/{index}.jpg", noise)
        save(root / f"b/{index}.png", noise)
    whole = (root / "a/3.jpg").read_bytes()
    (root / "a/3.jpg").write_bytes(whole[: len(whole) // 2])
    (root / "b/5.png").write_text("no image at all")


def test_unreadable_images_raise_by_name_or_are_skipped_and_counted(tmp_path: Path) -> None:
    spoil(tmp_path / "raw")
    source = folder(tmp_path / "raw")

    def data(on_error: str) -> ImageData:
        return ImageData(source, batch_size=2, on_error=on_error, cache_dir=tmp_path / "cache")

    with pytest.raises(DataError, match=r"a/3.jpg: not a readable image .*on_error=skip"):
        data("raise").prepare()
    for _ in range(2):  # decoded, then from the cache
        lenient = data("skip")
        lenient.prepare()
        assert (lenient.skipped, lenient.counts["train"]) == (2, 14)
        assert lenient._store is not None
        assert np.bincount(lenient._store.train.labels).tolist() == [7, 7]  # type: ignore[arg-type]
    with pytest.raises(DataError, match=r"a/3.jpg"):  # the store with gaps isn't found
        data("raise").prepare()


def test_truncated_png_and_webp_are_unreadable(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    for name in ("x.png", "x.webp"):
        path = save(tmp_path / name, noise)
        path.write_bytes(path.read_bytes()[:200])
        with pytest.raises(DataError, match=f"{name}: not a readable image"):
            read_image(path, fit=Fit(8, 3))


def test_images_smaller_than_the_crop_are_refused_or_enlarged(tmp_path: Path) -> None:
    save(tmp_path / "big.png", pixels(8))
    save(tmp_path / "small.png", pixels(8)[:7])
    with pytest.raises(DataError, match=r"small.png: 8x7 pixels are fewer than the crop of 8x8"):
        folder(tmp_path).read("train")
    images, _ = folder(tmp_path, upscale=True).read("train")
    assert (images == 100).all()


def test_options_are_checked() -> None:
    with pytest.raises(ConfigError, match="channels: must be 1 or 3, got 4"):
        ImageFolder("x", image_size=8, channels=4)
    with pytest.raises(ConfigError, match=r"source.test_size: must be a count"):
        ImageFolder("x", image_size=8, test_size=1.0)
    with pytest.raises(ConfigError, match="image_size: must be at least 1, got 0"):
        ImageFolder("x", image_size=0)


def test_options_change_the_fingerprint(tmp_path: Path) -> None:
    save(tmp_path / "a.png", pixels(8))
    save(tmp_path / "b.png", pixels(8))
    variants = [
        folder(tmp_path),
        folder(tmp_path, image_size=4),
        folder(tmp_path, channels=1),
        folder(tmp_path, test_size=1),
        folder(tmp_path, upscale=True),
    ]
    assert len({source.fingerprint() for source in variants}) == 5


def test_progress_is_shown_on_a_slow_terminal_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for index in range(3):
        save(tmp_path / f"{index}.png", pixels(8))
    folder(tmp_path).read("train")
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    folder(tmp_path).read("train")  # quick: no bar
    assert capsys.readouterr().err == ""
    monkeypatch.setattr("ganvas.data.decode._PROGRESS_AFTER_SECONDS", 0.0)
    folder(tmp_path).read("train")
    captured = capsys.readouterr()
    assert "decoding images" in captured.err
    assert captured.out == ""
