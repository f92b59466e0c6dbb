"""Damaged images made whole: what is compared with what, and what the picture says of it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from ganvas.data.given import split_images
from ganvas.engine.latent import build_tool
from ganvas.errors import ConfigError, RunError
from ganvas.latent.restore import Restore
from ganvas.latent.sheet import Sheet
from ganvas.latent.tool import Drawing
from ganvas.models.autoencoder.denoising import DenoisingAutoencoder
from ganvas.nn.corruptions import (
    BlockMaskCorruption,
    Corruption,
    GaussianCorruption,
    MaskingCorruption,
)
from ganvas.protocols import Corrupts
from latent.scenes import CENTRE, ConditionalVAE, LinearAE, class_data, scene
from models.tiny import SHAPE


class Restorer(LinearAE):
    """Projects on three directions; said to be trained to undo a corruption of images in [0, 1]."""

    corruption: Corruption = GaussianCorruption(std=0.2)

    def corrupt(self, x: Tensor, noise: Tensor) -> Tensor:
        return self.corruption(x, noise)

    def corruption_words(self) -> str:
        return str(self.corruption)


class Wide(Restorer):
    """The same of images in [−1, 1]."""

    value_range = (-1.0, 1.0)

    def corrupt(self, x: Tensor, noise: Tensor) -> Tensor:
        return 2 * self.corruption((x + 1) / 2, noise) - 1

    def reconstruct(self, x: Tensor) -> Tensor:
        return 2 * super().reconstruct((x + 1) / 2) - 1


class OfClass(ConditionalVAE):
    """A conditional model that was trained so."""

    corrupt = Restorer.corrupt
    corruption_words = Restorer.corruption_words
    corruption = Restorer.corruption


def tool(**options: Any) -> Restore:
    return Restore(**{"corruption": None, "damaged": False, "num": 5, **options})


def sheet_of(drawing: Drawing) -> Sheet:
    assert isinstance(drawing.picture, Sheet)
    return drawing.picture


def originals(num: int) -> Tensor:
    return split_images(class_data(), "test", range(num))[0]


def test_restored_is_what_the_model_makes_of_the_corrupted_image() -> None:
    model = Restorer()
    found = tool().draw(scene(model)).tensors
    assert torch.equal(found["original"], originals(5))
    noise = (found["corrupted"] - found["original"]) / 0.2
    assert 0.7 < noise.std() < 1.3
    projected = (found["corrupted"].flatten(1) - CENTRE) @ model.w.T @ model.w + CENTRE
    expected = projected.clamp(0, 1).unflatten(1, SHAPE)
    torch.testing.assert_close(found["restored"], expected)


def test_without_corruption_nothing_is_lost() -> None:
    drawing = tool(corruption=GaussianCorruption(std=0.0)).draw(scene(Restorer()))
    assert torch.equal(drawing.tensors["corrupted"], drawing.tensors["original"])
    assert sheet_of(drawing).captions[1] == ["exact"] * 5
    assert drawing.values["psnr_corrupted"] == float("inf")
    assert drawing.values["nearer_than_corrupted"] == "0 of 5"


def test_captions_are_psnrs_of_the_panels_against_the_originals() -> None:
    drawing = tool(corruption=GaussianCorruption(std=0.5)).draw(scene(Restorer()))
    sheet = sheet_of(drawing)
    for row, name in ((1, "corrupted"), (2, "restored")):
        for column, image in enumerate(sheet.rows[row]):
            assert image is not None
            error = (image - originals(5)[column]).double().square().mean()
            value = 10 * (1 / error).log10()
            assert sheet.captions[row][column] == f"{value:.1f} dB"
            torch.testing.assert_close(drawing.tensors[f"psnr_{name}"][column], value)
        mean = drawing.tensors[f"psnr_{name}"].mean().item()
        assert drawing.values[f"psnr_{name}"] == mean
    better = drawing.tensors["psnr_restored"] > drawing.tensors["psnr_corrupted"]
    assert drawing.values["nearer_than_corrupted"] == f"{int(better.sum())} of 5"


def test_noise_is_a_function_of_the_seed_and_the_place() -> None:
    few, many = (tool(num=n).draw(scene(Restorer())).tensors["corrupted"] for n in (2, 9))
    assert torch.equal(few, many[:2])
    other = tool(num=2).draw(scene(Restorer(), seed=1)).tensors["corrupted"]
    assert not torch.equal(few, other)
    alike = tool().draw(scene(Restorer(), [3, 3])).tensors["corrupted"]
    assert not torch.equal(alike[0], alike[1])


def test_the_range_of_the_model_does_not_matter() -> None:
    one, other = (tool().draw(scene(model())).tensors for model in (Restorer, Wide))
    torch.testing.assert_close(one["corrupted"], other["corrupted"])
    torch.testing.assert_close(one["restored"], other["restored"])


def test_the_picture_has_the_promised_panels() -> None:
    sheet = sheet_of(tool(num=10).draw(scene(Restorer())))
    assert sheet.row_labels == ["original", "corrupted", "restored"] * 2
    assert [len(row) for row in sheet.rows] == [8] * 3 + [2] * 3
    assert sheet.marked == {(0, c) for c in range(8)} | {(3, 0), (3, 1)}
    assert sheet.captions[3] == ["test 8 (class 2)", "test 9 (class 0)"]
    pixels = sheet.render()
    for row in (0, 3):
        for column, image in enumerate(sheet.rows[row]):
            assert image is not None
            left, top, right, bottom = sheet.boxes[row, column]
            seen = pixels[top : bottom : sheet.zoom, left : right : sheet.zoom, 0]
            assert torch.equal(torch.from_numpy(seen.copy()), (255 * image[0]).round().byte())


def test_the_title_says_which_corruption_and_which_was_trained_on() -> None:
    own = tool().draw(scene(Restorer()))
    assert sheet_of(own).title == "Images restored from gaussian (std 0.2), as in training"
    same = tool(corruption=GaussianCorruption(std=0.2)).draw(scene(Restorer()))
    assert sheet_of(same).title == sheet_of(own).title
    assert torch.equal(same.tensors["corrupted"], own.tensors["corrupted"])
    hole = BlockMaskCorruption(side=0.5, fill=0.0, image_shape=SHAPE)
    other = tool(corruption=hole).draw(scene(Restorer()))
    assert sheet_of(other).title == (
        "Images restored from block mask (side 2, fill 0), trained on gaussian (std 0.2)"
    )
    assert other.values["corruption"] == "block mask (side 2, fill 0)"
    assert other.values["trained_on"] == "gaussian (std 0.2)"
    assert ((other.tensors["corrupted"] != originals(5)).sum((1, 2, 3)) == 4).all()


def test_damaged_images_are_taken_as_they_are() -> None:
    given, model = torch.rand(2, *SHAPE, generator=torch.Generator().manual_seed(0)), Restorer()
    drawing = tool(damaged=True).draw(scene(model, [given]))
    sheet = sheet_of(drawing)
    assert sheet.row_labels == ["as given", "restored"]
    assert torch.equal(drawing.tensors["given"], given)
    expected = model.reconstruct(given).clamp(0, 1)
    torch.testing.assert_close(drawing.tensors["restored"], expected)
    assert "gaussian (std 0.2)" in sheet.title
    assert drawing.values == {"trained_on": "gaussian (std 0.2)"}
    with pytest.raises(ValueError, match=r"damaged=true needs the damaged images, got none; name"):
        tool(damaged=True).draw(scene(Restorer()))


def test_a_conditional_model_is_told_the_class() -> None:
    drawing = tool().draw(scene(OfClass()))
    assert drawing.tensors["restored"].shape == (5, *SHAPE)
    with pytest.raises(RunError, match=r"y: OfClass is conditional"):
        tool().draw(scene(OfClass(), [originals(1)]))
    assert tool().draw(scene(OfClass(), [originals(1)], y=2)).inputs == ["image 0 (class 2)"]


def test_values_out_of_range_are_refused() -> None:
    with pytest.raises(ValueError, match=r"num must be from 1 to 100, got 0"):
        tool(num=0)
    with pytest.raises(ValueError, match=r"corruption must be a corruption or null, got Identity"):
        tool(corruption=torch.nn.Identity())
    with pytest.raises(ValueError, match=r"corruption must be null with damaged=true.*masking"):
        tool(damaged=True, corruption=MaskingCorruption(probability=0.5))
    with pytest.raises(RunError, match=r"images=random"):
        tool().draw(scene(Restorer(), "random"))


def test_only_models_that_were_trained_to_restore_can() -> None:
    assert issubclass(DenoisingAutoencoder, Corrupts)
    assert tool().unfit(DenoisingAutoencoder) is None
    assert "was trained to restore nothing; train model=denoising_ae" in (
        tool().unfit(LinearAE) or ""
    )


NODE = {"_target_": "ganvas.latent.restore.Restore", "damaged": False, "num": 4}
NN = "ganvas.nn.corruptions"


def built(**corruption: Any) -> Restore:
    made = build_tool({**NODE, "corruption": corruption}, data=class_data(), trust=())
    assert isinstance(made, Restore)
    return made


def test_a_corruption_of_the_config_is_told_the_shape_of_the_images() -> None:
    made = built(_target_=f"{NN}.BlockMaskCorruption", side=0.5, fill=0.5)
    assert str(made.corruption) == "block mask (side 2, fill 0.5)"


@pytest.mark.parametrize(
    ("node", "message"),
    [
        (
            {"_target_": f"{NN}.DownsampleCorruption", "factor": 3},
            r"^tool\.corruption\.factor must be at least 2 and divide images of 4×4, got 3; choose",
        ),
        ({"_target_": f"{NN}.GrayscaleCorruption"}, r"^tool\.corruption: images must have 3 chan"),
        ({"_target_": f"{NN}.GaussianCorruption", "sd": 1}, r"`tool\.corruption\.sd`: no such key"),
        ({"_target_": f"{NN}.GaussianCorruption"}, r"`tool\.corruption\.std`: a value is required"),
        ({"_target_": "os.system", "command": "true"}, r"^tool\.corruption\._target_: `os.system`"),
        (
            {"_target_": "torch.nn.Identity"},
            r"^tool\.corruption must be a corruption or null, got Id",
        ),
        (
            {"std": 1},
            r"^tool\.corruption must be .*; choose one of `ganvas list corruptions`, e\.g\. \+corr",
        ),
    ],
)
def test_a_corruption_that_does_not_fit_is_refused(node: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        built(**node)
