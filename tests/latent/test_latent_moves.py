"""What the tools do where several images, classes or scales meet, by hand."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from torch import Tensor

from evaluation.subjects import InMemory, image_data
from ganvas.latent.attribute import Separation, classifier_normal
from ganvas.latent.axes import axes_of
from ganvas.latent.chart import Stack
from ganvas.latent.concept import Concept
from ganvas.latent.interpolate import Interpolate, angle, slerp
from ganvas.latent.sheet import Sheet
from ganvas.latent.traverse import Traverse, signed
from ganvas.types import Split
from latent.scenes import (
    ConditionalGAN,
    ConditionalVAE,
    LinearAE,
    LinearVAE,
    Sampled,
    class_images,
    scene,
)


class NormalAE(Sampled, LinearAE):
    """A prior N(0, I) without q(z|x), as a WAE has."""


class Curved(ConditionalGAN):
    """Images 0.1 (1 + y) (z₀ + 1)² at every pixel, from codes of mean (2, 0) and σ = (½, 1)."""

    standard_normal_prior = False

    def __init__(self) -> None:
        super().__init__(2)

    def prior_codes(self, num: int, *, seed: int) -> Tensor:
        return super().prior_codes(num, seed=seed) * torch.tensor([0.5, 1]) + torch.tensor([2.0, 0])

    def decode(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        assert y is not None
        values = 0.01 * (1 + y) * (z[:, 0] + 1).square()
        return 2 * values[:, None, None, None].expand(-1, *self.image_shape) - 1


def traverse(**options: Any) -> Traverse:
    rows = {"around": "code", "dims": 10, "range": 3.0, "steps": 3, "num_images": None}
    return Traverse(**{**rows, "gif": False, "frames": 8, **options})


def concept(**options: Any) -> Concept:
    chosen: dict[str, Any] = {
        "label": None, "against": None, "method": "means", "strengths": [0.5],
        "add": [], "subtract": [], "num": 1000, "inverse_penalty": 1.0, **options,
    }  # fmt: skip
    return Concept(**chosen)


def sheets(picture: Any) -> list[Sheet]:
    parts = picture.pictures if isinstance(picture, Stack) else [picture]
    return [part for part in parts if isinstance(part, Sheet)]


@pytest.mark.parametrize("turn", [1e-9, 1e-4, math.pi - 1e-9])
def test_small_angles_keep_their_digits(turn: float) -> None:
    rays = [[math.cos(w), math.sin(w)] for w in (0.0, turn)]
    u, v = torch.tensor(rays, dtype=torch.float64)
    assert angle(u, v) == pytest.approx(turn, abs=1e-13)


def test_arcs_of_few_degrees_are_arcs() -> None:
    u, v = torch.eye(2).double()
    near = math.cos(0.05) * u + math.sin(0.05) * v
    arc = slerp(u, near, torch.tensor([0.5]))
    torch.testing.assert_close(arc.norm(), torch.tensor(1.0).double(), atol=1e-9, rtol=0)


def test_the_animation_is_slow_where_images_are() -> None:
    tool = Interpolate(path="linear", steps=3, num=2, gif=True, frames=6)
    model = LinearAE(scales=[0.1, 0.1, 0.1])
    seen = scene(model, [0, 1])
    start, end = seen.codes(2).z
    for k, frame in enumerate(tool.draw(seen).frames[:6]):
        assert isinstance(frame, Sheet)
        t = (1 - math.cos(math.pi * k / 6)) / 2
        image = model.decode((start + t * (end - start))[None])[0].clamp(0, 1)
        torch.testing.assert_close(frame.rows[1][0], image, atol=1e-5, rtol=0)


def test_a_code_lies_so_many_deviations_from_the_mean_of_codes() -> None:
    seen = scene(LinearAE(scales=[0.5, 0.1, 0.3]), [0, 5])
    codes, given = seen.encodings().z.double(), seen.codes(2).z.double()
    places = (given - codes.mean(0)) / codes.std(0, correction=0)
    drawing = traverse().draw(seen)
    dims = drawing.tensors["dims"].tolist()
    for sheet, place in zip(sheets(drawing.picture), places.tolist(), strict=True):
        said = [label.splitlines()[2] for label in sheet.row_labels[:3]]
        assert said == [f"here {signed(place[j], 2)} σ" for j in dims]


def test_rows_shown_and_their_share() -> None:
    looked = scene(LinearVAE(4, variances=[0.9, 0.01, 0.5, 0.1]), [0])
    drawing = traverse(dims=2).draw(looked)
    weight = drawing.tensors["weights"]
    some = weight.sort(descending=True).values[:2].sum()
    expected = f"2 of 4 dimensions are shown, with {some:.3g} of {weight.sum():.3g} nats"
    assert expected in drawing.notes


def test_the_picture_says_how_many_images_were_measured() -> None:
    for num, words in ((5, "5 test images"), (None, "40 test images"), (90, "40 test images")):
        notes = traverse(num_images=num).draw(scene(LinearVAE(), [0])).notes
        assert notes[0].endswith(f"mean over {words}")


def test_codes_of_a_normal_prior_without_posterior_go_over_the_prior() -> None:
    axes = axes_of(scene(NormalAE(scales=[0.5, 0.1, 0.3])), reach=3, num=None)
    assert (axes.mean.tolist(), axes.std.tolist()) == ([0.0] * 3, [1.0] * 3)
    assert (axes.kind, axes.of) == ("variance", "the prior's")


def test_effects_are_around_the_prior_s_mean_and_of_each_code_s_class() -> None:
    seen = scene(Curved(), y=[0, 2])
    axes = axes_of(seen, reach=1.0, num=None)
    assert axes.mean.tolist() == pytest.approx([2, 0], abs=0.05)
    m, s = axes.mean[0].item(), axes.std[0].item()
    change = 0.01 * 2 * ((m + s + 1) ** 2 - (m - s + 1) ** 2)  # 2 is the mean of 1 and 3
    assert axes.weight.tolist() == pytest.approx([change, 0], rel=1e-4)


@pytest.mark.parametrize("tool", [traverse(), concept(add=[4], subtract=[7])])
def test_each_image_keeps_its_class(tool: Any) -> None:
    """With y/20 for the class y: each image stands as far off the line of its code."""
    scales = [0.02, 0.06, 0.04]
    model, line = ConditionalVAE(scales=scales), LinearVAE(scales=scales)
    seen = scene(model, [1, 2])
    drawing = tool.draw(seen)
    codes, images = drawing.tensors["codes"], drawing.tensors["images"]
    for i, y in enumerate([1, 2]):
        plain = line.decode(codes[i].flatten(0, -2)) + y / 20
        torch.testing.assert_close(images[i].flatten(0, -4), plain.clamp(0, 1))
    made = seen.reconstruct(seen.inputs(None))
    if isinstance(tool, Traverse):
        for sheet, image in zip(sheets(drawing.picture), made, strict=True):
            torch.testing.assert_close(sheet.rows[1][0], image)
    else:  # encoded again as its own class, each code is where it was
        direction = drawing.tensors["direction"]
        moved = codes.double() @ direction / direction.square().sum()
        steps = moved - moved[:, 1:2]
        positions = drawing.tensors["positions"]
        torch.testing.assert_close(positions - positions[:, 1:2], steps, atol=1e-4, rtol=0)
        torch.testing.assert_close(positions[0] - positions[1], moved[0] - moved[1], atol=1e-4,
                                   rtol=0)  # fmt: skip


def test_histograms_are_of_each_class() -> None:
    axes = Figure().add_subplot()
    Separation(torch.rand(7).double(), torch.rand(30).double()).paint(axes, ("a", "b"))
    heights = [sum(bar.get_height() for bar in bars) for bars in axes.containers]  # type: ignore
    assert heights == pytest.approx([100.0, 100.0])


class Sorted(InMemory):
    """Images of class 0 first, then those of class 1, and of 2."""

    def read(self, split: Split) -> tuple[np.ndarray, np.ndarray | None]:
        images, labels = super().read(split)
        assert labels is not None
        order = labels.argsort(kind="stable")
        return images[order], labels[order]


def test_directions_come_from_all_over_files_sorted_by_class() -> None:
    source = Sorted(class_images(60, seed=1), class_images(40, seed=2))
    seen = scene(LinearAE(16), data=image_data(source))
    assert concept(label=2, num=12).draw(seen).values["num_test"] == 12


def test_the_penalty_of_the_classifier_counts() -> None:
    seen = scene(LinearVAE(3), [0])
    weak, strong = (
        concept(label=1, method="classifier", inverse_penalty=c).draw(seen).tensors["direction"]
        for c in (100.0, 0.001)
    )
    assert not torch.allclose(weak, strong, rtol=1e-3)


def test_a_dimension_that_never_varies_has_no_part_in_the_classifier() -> None:
    codes = torch.randn(60, 3, generator=torch.Generator().manual_seed(0))
    codes[:30, 0] += 2
    codes[:, 2] = 5
    found = classifier_normal(codes[:30], codes[30:], inverse_penalty=1.0)
    assert found.step[2] == found.normal[2] == 0
    plain = classifier_normal(codes[:30, :2], codes[30:, :2], inverse_penalty=1.0)
    torch.testing.assert_close(found.step[:2], plain.step, atol=1e-5, rtol=0)
