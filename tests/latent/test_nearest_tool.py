"""Samples beside their nearest training images: against double loops, with planted copies."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import yaml
from torch import Tensor, nn

from evaluation.subjects import InMemory, image_data
from evaluation.subjects import extractor as classifier_features
from ganvas.data.given import split_images
from ganvas.evaluation.memorization import MemorizationMeasure
from ganvas.evaluation.priors import NormalPrior
from ganvas.latent.nearest import Nearest
from ganvas.latent.sheet import Sheet
from ganvas.latent.tool import Drawing
from ganvas.nn.extractor import Extractor, quantized
from ganvas.nn.frozen import Frozen
from ganvas.nn.pixels import Pixels
from ganvas.paths import config_dir
from ganvas.pictures import to_uint8
from latent.scenes import (
    ConditionalGAN,
    ConditionalVAE,
    Linear,
    LinearAE,
    LinearGAN,
    LinearVAE,
    class_data,
    scene,
)

DATA = class_data()


class Table(Linear):
    """Sample i is image i of a table, whatever the seed."""

    def __init__(self, images: Tensor) -> None:
        super().__init__(1)
        self.register_buffer("images", images)

    def prior_codes(self, num: int, *, seed: int) -> Tensor:
        del seed
        return torch.arange(num)[:, None].float()

    def sample(self, num: int, *, noise: Tensor | None = None, seed: int = 0) -> Tensor:
        codes = self.prior_codes(num, seed=seed) if noise is None else noise
        return self.images[codes[:, 0].long()]


class Brightness(nn.Module):
    """The mean pixel, for a feature that is easily computed."""

    def forward(self, x: Tensor) -> Tensor:
        return x.mean((1, 2, 3))[:, None]


def options_of(**changed: Any) -> dict[str, Any]:
    """As the YAML has them, but for few samples."""
    options = yaml.safe_load((config_dir() / "tool" / "nearest.yaml").read_text())
    del options["_target_"]
    return {**options, "k": 3, "num": 20, "shown": 4, **changed}


def drawn(model: Any, images: Any = None, *, tool: Any = None, **options: Any) -> Drawing:
    """A picture by pixels, unless told otherwise."""
    options = {"data": DATA, "extractor": Extractor(Frozen(Pixels())), **options}
    return Nearest(**options_of(**(tool or {}))).draw(scene(model, images, **options))


def sheet_of(drawing: Drawing) -> Sheet:
    assert isinstance(drawing.picture, Sheet)
    return drawing.picture


def everything(split: Any) -> Tensor:
    return split_images(DATA, split, range(DATA.counts[split]))[0]


def test_distances_are_those_of_loops() -> None:
    drawing = drawn(LinearVAE())
    samples = quantized(drawing.tensors["images"], (0, 1)).double() / 255
    points = everything("train").double()
    for i, x in enumerate(samples):
        found = sorted(((x - y).norm().item(), j) for j, y in enumerate(points))[:3]
        assert drawing.tensors["nearest"][i].tolist() == [j for _, j in found]
        expected = torch.tensor([d for d, _ in found], dtype=torch.float64)
        torch.testing.assert_close(drawing.tensors["distances"][i], expected, rtol=1e-6, atol=0)
    unseen = [min((x - y).norm().item() for y in points) for x in everything("test")[:20].double()]
    assert drawing.tensors["unseen_distances"].tolist() == pytest.approx(unseen, rel=1e-6)


def test_samples_are_the_models_own() -> None:
    model = LinearVAE()
    drawing = drawn(model, seed=5)
    expected = model.sample(20, seed=5).clamp(0, 1)
    torch.testing.assert_close(drawing.tensors["images"], expected)
    again, other = drawn(model, seed=5), drawn(model, seed=6)
    assert (drawing.picture.render() == again.picture.render()).all()
    assert not torch.equal(drawing.tensors["images"], other.tensors["images"])


def test_a_planted_copy_is_found_first_at_distance_0() -> None:
    images = torch.rand(20, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    images[13] = everything("train")[7]
    drawing = drawn(Table(images))
    sheet = sheet_of(drawing)
    assert drawing.tensors["distances"][13, 0] == 0
    assert sheet.captions[0][0] == "sample 13"
    assert sheet.captions[0][1].startswith("7 · 0\nclass ")
    assert torch.equal(sheet.rows[0][0], sheet.rows[0][1])
    assert sheet.row_labels[0] == "nearer than each of\n20 unseen images"
    assert drawing.values["nearest_sample"] == 0
    assert drawing.inputs[0] == "noise 13"


def test_samples_of_all_blocks_keep_their_places() -> None:
    images = torch.rand(300, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    images[[3, 290]] = everything("train")[[7, 9]]
    drawing = drawn(Table(images), tool={"num": 300})
    assert [row[0] for row in sheet_of(drawing).captions[:2]] == ["sample 3", "sample 290"]
    assert drawing.tensors["nearest"][[3, 290], 0].tolist() == [7, 9]
    assert torch.equal(drawing.tensors["images"], images)


def test_unseen_images_as_samples_are_neither_near_nor_far() -> None:
    unseen = everything("test")[:20]
    drawing = drawn(Table(unseen), tool={"shown": 20})
    values, sheet = drawing.values, sheet_of(drawing)
    assert values["memorization"] == 0.5
    assert values["nearest_sample"] == values["nearest_unseen"]
    assert values["median_sample"] == values["median_unseen"]
    shares = [5.0 * i for i in range(1, 21)]
    assert sheet.row_labels[:20] == [
        f"{share:.1f} % of unseen images\nare as near or nearer" for share in shares
    ]
    nearest, median = sheet.captions[20][0], sheet.captions[21][0]
    order = drawing.tensors["unseen_distances"].argsort().tolist()
    assert nearest.startswith(f"test {order[0]} (class")
    assert median.startswith(f"test {order[9]} (class")
    assert sheet.captions[20][1:] == sheet.captions[0][1:]  # the same image, as sample and unseen
    assert sheet.captions[21][1:] == sheet.captions[9][1:]


def test_values_are_those_of_the_evaluation() -> None:
    """`metrics=memorization` of as many samples, by the same features."""
    model = LinearVAE()
    drawing = drawn(model, tool={"num": 40})
    measured = scene(model, data=DATA, extractor=Extractor(Frozen(Pixels()))).subject
    found = MemorizationMeasure(num_train=None).measure(measured)
    assert drawing.values["memorization"] == found["memorization_pixels"].value
    assert drawing.values["near_copies"] == found["near_copies_pixels"].value
    ratio = drawing.values["median_sample"] / drawing.values["median_unseen"]
    assert ratio == pytest.approx(found["memorization_ratio_pixels"].value)


def test_features_are_those_chosen() -> None:
    drawing = drawn(LinearVAE(), extractor=Extractor(Frozen(Brightness())))
    means = (quantized(drawing.tensors["images"], (0, 1)).double() / 255).mean((1, 2, 3))
    trained = everything("train").double().mean((1, 2, 3))
    expected = (means[:, None] - trained).abs().sort(1).values[:, :3]
    torch.testing.assert_close(drawing.tensors["distances"], expected, rtol=0, atol=1e-6)
    assert "features=brightness" in drawing.notes[0]
    learnt = drawn(LinearVAE(), extractor=classifier_features())
    assert "features=classifier" in learnt.notes[0]


def test_every_panel_is_where_it_was_promised() -> None:
    drawing = drawn(LinearVAE(), split="val")
    sheet, pixels, points = sheet_of(drawing), drawing.picture.render(), everything("train")
    order = drawing.tensors["distances"][:, 0].argsort().tolist()[:4]
    assert [len(row) for row in sheet.rows] == [4] * 6
    assert sheet.marked == {(4, 0), (5, 0)}
    for row, i in enumerate(order):
        assert sheet.captions[row][0] == f"sample {i}"
        assert torch.equal(sheet.rows[row][0], drawing.tensors["images"][i])
        for column, j in enumerate(drawing.tensors["nearest"][i].tolist(), 1):
            left, top, right, bottom = sheet.boxes[row, column]
            small = pixels[top : bottom : sheet.zoom, left : right : sheet.zoom, 0]
            assert (small == to_uint8(points[j])[0]).all()
            distance = drawing.tensors["distances"][i, column - 1]
            assert sheet.captions[row][column].startswith(f"{j} · {distance:.3g}\nclass ")
    assert sheet.captions[4][0].startswith("val ")
    assert sheet.row_labels[4] == "the nearest one of\n10 unseen images"
    assert sheet.row_labels[5] == "the median one of\n10 unseen images"
    assert "training images" in sheet.title


def test_unlabelled_images_are_shown_without_a_class() -> None:
    drawing = drawn(LinearVAE(), data=image_data(InMemory(num_classes=0)))
    assert "class" not in str(sheet_of(drawing).captions)


@pytest.mark.parametrize("model", [ConditionalVAE(), ConditionalGAN()])
def test_samples_of_a_conditional_model_have_a_class(model: Any) -> None:
    drawing = drawn(model, tool={"shown": 20})
    captions = [row[0] for row in sheet_of(drawing).captions[:20]]
    assert sorted(captions) == sorted(f"sample {i} (class {i % 3})" for i in range(20))
    one = drawn(model, y=1, tool={"shown": 20})
    said = [any("of the chosen classes" in note for note in made.notes) for made in (drawing, one)]
    assert said == [False, True]
    assert all(row[0].endswith("(class 1)") for row in sheet_of(one).captions[:20])
    expected = model.sample(20, seed=0, y=torch.ones(20, dtype=torch.long))
    low, high = model.value_range
    expected = ((expected - low) / (high - low)).clamp(0, 1)
    torch.testing.assert_close(one.tensors["images"], expected)


def test_a_fitted_prior_takes_the_place_of_none() -> None:
    drawing = drawn(LinearAE(), prior=NormalPrior())
    expected = LinearVAE().sample(20, seed=0).clamp(0, 1)
    torch.testing.assert_close(drawing.tensors["images"], expected)


def test_models_that_make_no_images_are_refused() -> None:
    tool = Nearest(**options_of())
    assert "makes no image" in (tool.unfit(Linear) or "")
    assert all(tool.unfit(kind) is None for kind in (LinearAE, LinearGAN, Table))
    assert len(sheet_of(drawn(LinearGAN(), "random")).rows) == 6


def test_only_so_many_training_images_are_searched() -> None:
    drawing = drawn(LinearVAE(), tool={"num_train": 5})
    assert drawing.tensors["nearest"].max() < 5
    assert "any of 5 training images" in sheet_of(drawing).title
    every = drawn(LinearVAE(), tool={"num_train": 5000})
    assert "any of 50 training images" in sheet_of(every).title


@pytest.mark.parametrize("name", ["k", "num", "num_train", "shown"])
def test_options_out_of_range_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match=f"^{name} must be (at least 1|from 1 to 100000), got 0"):
        Nearest(**options_of(**{name: 0}))


def test_what_can_not_be_judged_is_refused() -> None:
    with pytest.raises(ValueError, match=r"split=train: .* choose split=test or split=val"):
        drawn(LinearVAE(), split="train")
    with pytest.raises(ValueError, match=r"images: .* leave images out, or take tool=neighbours"):
        drawn(LinearVAE(), [0, 1])
    with pytest.raises(ValueError, match=r"k=6: only 5 training images .* smaller tool.k"):
        drawn(LinearVAE(), tool={"k": 6, "num_train": 5})
