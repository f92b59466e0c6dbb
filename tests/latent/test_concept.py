"""`tool=concept`: directions of known classes, their units, and what they do to images."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score, roc_auc_score
from torch import Tensor

from evaluation.subjects import InMemory, image_data
from ganvas.latent.attribute import Direction, Separation, classifier_normal, difference
from ganvas.latent.chart import Stack
from ganvas.latent.concept import Concept
from ganvas.latent.sheet import Sheet
from latent.scenes import (
    ConditionalVAE,
    LinearAE,
    LinearGAN,
    LinearVAE,
    class_data,
    class_images,
    scene,
)

STRENGTHS = [0.5, 1.0]


def concept(**options: Any) -> Concept:
    defaults: dict[str, Any] = {
        "label": None, "against": None, "method": "means", "strengths": STRENGTHS,
        "add": [], "subtract": [], "num": 1000, "inverse_penalty": 1.0,
    }  # fmt: skip
    return Concept(**{**defaults, **options})


def gaussians(num: int = 4000, *, scales: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Codes of two classes N(±m, S) with m = (1, 1, 0) and S = diag(1, 4, 0.25), then scaled."""
    noise = torch.randn(2, num, 3, generator=torch.Generator().manual_seed(0))
    codes = noise * torch.tensor([1.0, 2.0, 0.5])
    mean = torch.tensor([1.0, 1.0, 0.0])
    scales = torch.ones(3) if scales is None else scales
    return (codes[0] + mean) * scales, (codes[1] - mean) * scales


def by_classifier(positive: Tensor, negative: Tensor) -> Direction:
    return classifier_normal(positive, negative, inverse_penalty=100.0)


METHODS: list[Callable[[Tensor, Tensor], Direction]] = [difference, by_classifier]


def cosine(a: Tensor, b: Tensor) -> float:
    return float(torch.cosine_similarity(a.double(), b.double(), dim=0))


def test_the_difference_of_means_of_two_gaussians() -> None:
    positive, negative = gaussians()
    found = difference(positive, negative)
    exact = positive.double().mean(0) - negative.double().mean(0)
    torch.testing.assert_close(found.step, exact)
    torch.testing.assert_close(found.normal, exact / exact.square().sum())
    assert cosine(found.step, torch.tensor([2.0, 2.0, 0.0])) > 0.999


def test_the_classifier_finds_fishers_direction() -> None:
    """The logit of N(±m, S) is 2 m · S⁻¹ z, so n ∝ S⁻¹ m; and v = σ² n with σ² = diag S + m²."""
    found = by_classifier(*gaussians())
    normal = torch.tensor([1.0, 0.25, 0.0])
    assert cosine(found.normal, normal) > 0.999
    assert cosine(found.step, normal * torch.tensor([2.0, 5.0, 0.25])) > 0.999


@pytest.mark.parametrize("find", METHODS)
def test_means_lie_at_zero_and_one_and_strength_is_added(find: Any) -> None:
    positive, negative = gaussians()
    found = find(positive, negative)
    close = {"atol": 1e-5, "rtol": 0}
    torch.testing.assert_close(
        found.positions(positive).mean(), torch.tensor(1.0).double(), **close
    )
    torch.testing.assert_close(
        found.positions(negative).mean(), torch.tensor(0.0).double(), **close
    )
    moved = found.positions(negative + 0.7 * found.step) - found.positions(negative)
    torch.testing.assert_close(moved, torch.full_like(moved, 0.7), **close)


def test_the_classifier_does_not_depend_on_the_scales_of_codes() -> None:
    scales = torch.tensor([1.0, 0.001, 50.0])
    plain, scaled = by_classifier(*gaussians()), by_classifier(*gaussians(scales=scales))
    torch.testing.assert_close(scaled.step, plain.step * scales, rtol=1e-3, atol=1e-4)
    positions = scaled.positions(gaussians(scales=scales)[0]), plain.positions(gaussians()[0])
    torch.testing.assert_close(*positions, rtol=1e-3, atol=1e-3)


def test_the_classifier_is_solved_to_the_end() -> None:
    """As by Newton's method, where dimensions are alike and steps down the slope are slow."""
    generator = torch.Generator().manual_seed(0)
    mixed = torch.randn(20, 20, generator=generator) * torch.logspace(0, -1.5, 20)
    codes = torch.randn(600, 20, generator=generator) @ mixed.T
    codes[:200] += 0.1 * mixed.sum(1)
    found = classifier_normal(codes[:200], codes[200:], inverse_penalty=10.0)
    std = codes.double().std(0, correction=0)
    exact = LogisticRegression(
        C=10, class_weight="balanced", solver="newton-cholesky", tol=1e-10
    ).fit(((codes.double() - codes.double().mean(0)) / std).numpy(), np.arange(600) < 200)
    expected = std * torch.from_numpy(exact.coef_[0])
    close = {"atol": 2e-3, "rtol": 0}
    torch.testing.assert_close(found.step / found.step.norm(), expected / expected.norm(), **close)


def test_figures_are_those_of_scikit_learn() -> None:
    values = np.random.default_rng(0).normal(size=300).round(1)  # with ties
    labels = np.arange(300) % 3 == 0
    values[labels] += 0.8
    positive, negative = (torch.from_numpy(values[part]) for part in (labels, ~labels))
    found = Separation(positive, negative)
    assert found.auroc == pytest.approx(roc_auc_score(labels, values))
    assert found.balanced_accuracy == pytest.approx(balanced_accuracy_score(labels, values > 0.5))
    assert Separation(torch.ones(3), torch.zeros(2)).auroc == 1
    assert Separation(torch.zeros(3), torch.ones(2)).auroc == 0
    assert Separation(torch.ones(3), torch.ones(2)).auroc == 0.5


def test_a_linear_decoder_adds_the_difference_of_mean_images() -> None:
    """With as many dimensions as pixels, codes are images, and moved ones x + s (m₁ − m₀)."""
    data = class_data()
    drawing = concept(label=2, against=1).draw(scene(LinearAE(16), [3, 5], data=data))
    seen = scene(LinearAE(16), data=data)
    found = seen.encodings("train")
    assert found.y is not None
    vector = found.z[found.y == 2].mean(0) - found.z[found.y == 1].mean(0)
    torch.testing.assert_close(drawing.tensors["direction"].float(), vector, atol=1e-5, rtol=0)
    start = seen.of([3, 5]).codes(1).z
    strengths = torch.tensor([-1, -0.5, 0, 0.5, 1])
    torch.testing.assert_close(drawing.tensors["strengths"], strengths)
    codes = start[:, None] + strengths[:, None] * vector
    torch.testing.assert_close(drawing.tensors["codes"], codes, atol=1e-5, rtol=0)
    expected = seen.decode(codes.flatten(0, 1)).unflatten(0, (2, 5))
    torch.testing.assert_close(drawing.tensors["images"], expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("method", ["means", "classifier"])
def test_the_direction_separates_held_out_images(method: str) -> None:
    seen = scene(LinearVAE(16), [0, 1], data=class_data())
    drawing = concept(label=1, method=method).draw(seen)
    assert drawing.values["auroc"] > 0.95
    assert drawing.values["balanced_accuracy"] > 0.85
    assert drawing.values["num_train"] == 50 and drawing.values["num_test"] == 40
    random = np.random.default_rng(5).integers(0, 255, (60, 1, 4, 4)).astype(np.uint8)
    source = InMemory(random, class_images(40, seed=2))
    unlearnt = concept(label=1, method=method).draw(scene(LinearVAE(16), data=image_data(source)))
    assert unlearnt.values["auroc"] < 0.85


def test_the_split_is_tested_and_training_images_never() -> None:
    data = class_data()
    for split, name in (("val", "num_val"), ("test", "num_test"), ("train", "num_test")):
        seen = scene(LinearVAE(3), data=data, split=split)  # type: ignore[arg-type]
        values = concept(label=1).draw(seen).values
        assert values[name] == {"val": 10, "test": 40, "train": 40}[split]


def test_the_middle_is_the_reconstruction_and_panels_stand_where_promised() -> None:
    seen = scene(LinearVAE(3), [4, 7])
    drawing = concept(label=1, strengths=[0.5]).draw(seen)
    assert isinstance(drawing.picture, Stack)
    sheet, chart = drawing.picture.pictures
    assert isinstance(sheet, Sheet)
    x = seen.inputs(None).x
    expected = seen.reconstruct(seen.inputs(None))
    for row in range(2):
        panels = sheet.rows[row]
        assert panels[0] is not None and panels[2] is not None
        torch.testing.assert_close(panels[0], x[row])
        torch.testing.assert_close(panels[2], expected[row], atol=1e-6, rtol=0)
    assert sheet.column_labels == ["given", "−0.5", "0\nreconstruction", "+0.5"]
    assert sheet.row_labels == ["test 4 (class 1)", "test 7 (class 1)"]
    assert sheet.marked == {(0, 0), (1, 0)}
    left, top, right, bottom = sheet.boxes[1, 2]
    shown = drawing.picture.render()[top : bottom : sheet.zoom, left : right : sheet.zoom, 0]
    np.testing.assert_allclose(shown, (expected[1, 0] * 255).round().numpy(), atol=1)
    assert f"AUROC {drawing.values['auroc']:.3f}" in chart.title  # type: ignore[attr-defined]


def test_captions_are_positions_of_the_images_encoded_again() -> None:
    drawing = concept(label=1, strengths=[0.25]).draw(scene(LinearVAE(3), [0, 1, 2]))
    positions = drawing.tensors["positions"]  # nothing is clamped here: a linear model's are exact
    torch.testing.assert_close(positions[:, 1] - positions[:, 0], torch.full((3,), 0.25).double(),
                               atol=1e-4, rtol=0)  # fmt: skip
    sheet = drawing.picture.pictures[0]  # type: ignore[attr-defined]
    shown = [[float(text.replace("−", "-")) for text in row] for row in sheet.captions]
    torch.testing.assert_close(torch.tensor(shown)[:, 1:].double(), positions, atol=0.006, rtol=0)
    assert [row[0] for row in shown] == [row[2] for row in shown]  # given, and reconstruction


@pytest.mark.parametrize("model", [LinearAE(3), LinearVAE(3), ConditionalVAE(3)])
def test_images_are_added_and_subtracted(model: Any) -> None:
    seen = scene(model, [0, 1])
    z = [seen.of([i]).codes(1).z[0] for i in range(10)]
    drawing = concept(add=[2, 5], subtract=7).draw(seen)
    vector = (z[2] + z[5]) / 2 - z[7]
    torch.testing.assert_close(drawing.tensors["direction"].float(), vector, atol=1e-6, rtol=0)
    codes = drawing.tensors["codes"]
    torch.testing.assert_close(codes[1, -1], z[1] + vector, atol=1e-5, rtol=0)
    ingredients = drawing.picture.pictures[0]  # type: ignore[attr-defined]
    assert [len(row) for row in ingredients.rows] == [2, 1]
    assert ingredients.row_labels == ["+ add", "− subtract"]
    assert ingredients.captions[1] == ["test 7 (class 1)"]
    alone = concept(subtract=[7]).draw(seen)
    torch.testing.assert_close(alone.tensors["direction"].float(), -z[7], atol=1e-6, rtol=0)
    assert any("begins at the code 0" in note for note in alone.notes)


def test_files_are_added_and_the_picture_says_how(tmp_path: Path) -> None:
    from PIL import Image

    Image.fromarray(class_images(1)[0, 0]).resize((20, 20)).save(tmp_path / "big.png")
    drawing = concept(add=[str(tmp_path / "big.png")], subtract=[1]).draw(scene(LinearVAE(3)))
    assert any("resized to 4×4" in note for note in drawing.notes)
    assert drawing.picture.pictures[0].captions[0] == ["big.png"]  # type: ignore[attr-defined]


def test_labels_that_are_not_there() -> None:
    with pytest.raises(ValueError, match=r"^label must be one of the classes 0 to 2 of .*, got 7"):
        concept(label=7).draw(scene(LinearVAE(3)))
    with pytest.raises(ValueError, match=r"^against must be one of the classes 0 to 2 .*, got -1"):
        concept(label=1, against=-1).draw(scene(LinearVAE(3)))
    unlabelled = image_data(InMemory(num_classes=0))
    with pytest.raises(ValueError, match=r"^label: .* has no labels; give images in add"):
        concept(label=1).draw(scene(LinearVAE(3), data=unlabelled))
    with pytest.raises(ValueError, match=r"^label: the encoder of ConditionalVAE is told"):
        concept(label=1).draw(scene(ConditionalVAE(3)))
    single = class_data(val_size=1)
    held_out = scene(LinearVAE(3), data=single).encodings("val").y
    assert held_out is not None
    absent = (int(held_out[0]) + 1) % 3
    with pytest.raises(ValueError, match=f"no image of class {absent} among the 1 of split=val"):
        concept(label=absent).draw(scene(LinearVAE(3), data=single, split="val"))


def test_images_that_are_not_there() -> None:
    with pytest.raises(ValueError, match=r"^add: no such file .*'no\.png'.*tool\.add=\["):
        concept(add=["no.png"]).draw(scene(LinearVAE(3)))
    with pytest.raises(ValueError, match=r"^subtract: positions in split=test go from 0 to 39"):
        concept(subtract=[40]).draw(scene(LinearVAE(3)))
    with pytest.raises(ValueError, match=r"^both sides must differ in their mean code"):
        concept(add=[1], subtract=[1]).draw(scene(LinearVAE(3)))
    with pytest.raises(ValueError, match=r"^images=random: codes of images are moved"):
        concept(label=1).draw(scene(LinearVAE(3), "random"))
    assert "has no encoder" in (concept().unfit(LinearGAN) or "")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "svm"}, "^method must be means or classifier, got 'svm'"),
        ({"strengths": []}, r"^strengths must be .*, got \[\]"),
        ({"strengths": [1.0, 0.5]}, "^strengths must be one or more ascending numbers above 0"),
        ({"strengths": [-1.0, 1.0]}, "^strengths must be one or more ascending numbers above 0"),
        ({"label": 1, "against": 1}, "^against must be another class than label, got 1"),
        ({"against": 0}, "^against must be another class than label, got 0"),
        ({"label": 1, "add": [0]}, "^label must be left out where images are added"),
        ({"num": 3}, "^num must be at least 4 images, got 3"),
        ({"inverse_penalty": 0.0}, "^inverse_penalty must be a finite number above 0, got 0"),
    ],
)
def test_options_out_of_range_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        concept(**options)
