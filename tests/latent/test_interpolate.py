"""Interpolation: lines and arcs in closed form, ends that are reconstructions, promised panels."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from ganvas.errors import RunError
from ganvas.evaluation.priors import NormalPrior
from ganvas.latent.interpolate import Interpolate, angle, lerp, slerp
from ganvas.latent.sheet import Sheet
from ganvas.latent.tool import Drawing
from ganvas.models.base import GenerativeModule
from ganvas.pictures import to_uint8
from latent.scenes import (
    ConditionalGAN,
    ConditionalVAE,
    LinearAE,
    LinearGAN,
    LinearVAE,
    digits,
    scene,
)
from models.tiny import vae

T = torch.linspace(0, 1, 9)


def tool(**options: Any) -> Interpolate:
    """With the values of its config, but for `options`."""
    given = {"path": "both", "steps": 5, "num": 4, "gif": False, "frames": 4}
    return Interpolate(**{**given, **options})


def drawn(model: GenerativeModule, images: Any = None, **where: Any) -> Drawing:
    return tool().draw(scene(model, images, **where))


def sheet(drawing: Drawing) -> Sheet:
    assert isinstance(drawing.picture, Sheet)
    return drawing.picture


def codes(num: int, width: int) -> Tensor:
    return torch.from_numpy(np.random.default_rng(0).standard_normal((num, width))).float()


def test_line_is_the_weighted_mean() -> None:
    a, b = codes(2, 5)
    torch.testing.assert_close(lerp(a, b, T), (1 - T)[:, None] * a + T[:, None] * b)


@pytest.mark.parametrize("path", [lerp, slerp])
@pytest.mark.parametrize("size", [1e-3, 1.0, 1e4])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_ends_are_the_codes_to_the_bit(path: Any, size: float, dtype: torch.dtype) -> None:
    for a, b in codes(40, 7).to(dtype).unflatten(0, (20, 2)):
        walk = path(size * a, b, T)
        assert torch.equal(walk[0], size * a)
        assert torch.equal(walk[-1], b)


def test_arc_turns_evenly_and_lengths_change_evenly() -> None:
    a, b = codes(2, 6) * torch.tensor([[1.0], [3.0]])
    arc = slerp(a, b, T)
    torch.testing.assert_close(arc.norm(dim=1), (1 - T) * a.norm() + T * b.norm())
    turned = [angle(a, z) for z in arc]
    torch.testing.assert_close(torch.tensor(turned), T * angle(a, b), atol=1e-6, rtol=1e-5)
    rest = arc - arc @ torch.linalg.qr(torch.stack([a, b]).T)[0] @ (
        torch.linalg.qr(torch.stack([a, b]).T)[0].T
    )
    torch.testing.assert_close(rest, torch.zeros_like(rest), atol=1e-5, rtol=0)


def test_arc_of_a_right_angle_in_closed_form() -> None:
    a, b = torch.tensor([2.0, 0]), torch.tensor([0, 2.0])
    expected = 2 * torch.stack([(T * math.pi / 2).cos(), (T * math.pi / 2).sin()], 1)
    torch.testing.assert_close(slerp(a, b, T), expected)


def test_arc_there_is_the_arc_back() -> None:
    a, b = codes(2, 4)
    torch.testing.assert_close(slerp(a, b, T), slerp(b, a, 1 - T))


def test_arc_keeps_the_length_of_normal_codes_and_a_line_does_not() -> None:
    a, b = codes(2, 10_000)
    middle = torch.tensor([0.5])
    assert slerp(a, b, middle).norm() == pytest.approx(100, abs=1.5)
    assert lerp(a, b, middle).norm() == pytest.approx(100 / math.sqrt(2), abs=1.5)


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ([1.0, 2, 2], [2.0, 4, 4]),
        ([1.0, 2, 2], [-1.0, -2, -2]),
        ([0.0, 0, 0], [1.0, 0, 0]),
        ([0.0, 0, 0], [0.0, 0, 0]),
    ],
)
def test_without_a_single_arc_the_line_is_taken(a: list[float], b: list[float]) -> None:
    ends = torch.tensor([a, b])
    assert torch.equal(slerp(*ends, T), lerp(*ends, T))


def test_angles_near_0_and_180_degrees_keep_their_digits() -> None:
    one = torch.tensor([1.0, 0.0])
    for turned in (1e-5, 1.0, math.pi - 1e-5):
        other = torch.tensor([math.cos(turned), math.sin(turned)], dtype=torch.float64)
        assert angle(one, other) == pytest.approx(turned, abs=1e-12)
    assert angle(one, 0 * one) == 0


@pytest.mark.parametrize("model", [LinearAE, LinearVAE, vae, ConditionalVAE])
def test_ends_of_each_row_are_the_reconstructions_to_the_bit(model: Any) -> None:
    looked = scene(model(), [4, 0, 17])
    drawing = tool().draw(looked)
    reconstructed = looked.reconstruct(looked.inputs(None))
    images = drawing.tensors["images"]
    assert images.shape == (4, 5, 1, 4, 4)
    for row, (i, j) in zip(images, [(0, 1), (0, 1), (1, 2), (1, 2)], strict=True):
        assert torch.equal(row[0], reconstructed[i])
        assert torch.equal(row[-1], reconstructed[j])


def test_images_are_what_the_codes_are_decoded_to() -> None:
    model = LinearAE(scales=[0.2, 0.1, 0.05])
    drawing = drawn(model, [0, 1])
    expected = model.decode(drawing.tensors["codes"].flatten(0, 1)).clamp(0, 1)
    torch.testing.assert_close(drawing.tensors["images"].flatten(0, 1), expected)
    line = drawing.tensors["images"][0]  # a linear decoder's images lie on a line, too
    torch.testing.assert_close(line[2], (line[0] + line[4]) / 2)


def test_panels_between_the_images() -> None:
    looked = scene(LinearVAE(image_shape=(1, 8, 8)), [3, 5, 9], data=digits)
    picture = sheet(tool().draw(looked))
    x = looked.inputs(None).x
    assert [len(row) for row in picture.rows] == [7] * 4
    assert picture.column_labels == ["from", "t = 0", "0.25", "0.5", "0.75", "1", "to"]
    assert picture.marked == {(r, c) for r in range(4) for c in (0, 6)}
    pixels = picture.render(["small print"])
    for r, (i, j) in enumerate([(0, 1), (0, 1), (1, 2), (1, 2)]):
        for column, image in ((0, x[i]), (6, x[j])):
            left, top, right, bottom = picture.boxes[r, column]
            shown = pixels[top : bottom : picture.zoom, left : right : picture.zoom, 0]
            assert np.array_equal(shown, to_uint8(image)[0])
    first, second = picture.row_labels[:2]
    assert first.splitlines()[0].startswith("test 3 (class")
    assert first.splitlines()[1].startswith("→ test 5 (class")
    assert first.splitlines()[2] == "linear"
    assert second.splitlines()[2].startswith("spherical, ")


def test_captions_are_lengths_of_codes() -> None:
    drawing = drawn(LinearVAE(), [0, 1])
    picture, length = sheet(drawing), drawing.tensors["codes"].norm(dim=2)
    assert picture.captions[1][1:-1] == [f"‖z‖ {value:.2f}" for value in length[1]]
    assert drawing.notes == ["‖z‖: the length of a code; of N(0, I) near √3 = 1.73"]


def test_angles_are_measured_and_written() -> None:
    drawing = drawn(LinearAE(), [0, 1, 5])
    expected = {}
    names = ["test 0 (class 0)", "test 1 (class 1)", "test 5 (class 2)"]
    for row, pair in enumerate(f"{a} → {b}" for a, b in pairwise(names)):
        a, b = drawing.tensors["codes"][2 * row, [0, -1]].double()
        degrees = math.degrees(math.acos(a @ b / a.norm() / b.norm()))
        expected[f"angle {pair}"] = degrees
        assert sheet(drawing).row_labels[2 * row + 1].endswith(f"spherical, {degrees:.0f}°")
    assert dict(drawing.values) == pytest.approx(expected)
    assert len({round(degrees) for degrees in expected.values()}) == 2


def test_only_an_arc_without_a_normal_prior_is_warned_of() -> None:
    def warned(model: GenerativeModule, path: str) -> bool:
        notes = tool(path=path).draw(scene(model, [0, 1])).notes
        return any("spherical" in note for note in notes)

    assert warned(LinearAE(), "both")
    assert warned(LinearAE(), "spherical")
    assert not warned(LinearAE(), "linear")
    assert not warned(LinearVAE(), "both")


@pytest.mark.parametrize("path", ["linear", "spherical"])
def test_one_path_alone(path: str) -> None:
    picture = sheet(tool(path=path).draw(scene(LinearVAE(), [0, 1, 2])))
    assert len(picture.rows) == 2
    assert all(path in label for label in picture.row_labels)


def test_gan_between_noises() -> None:
    model = LinearGAN()
    drawing = drawn(model, seed=5)
    picture = sheet(drawing)
    assert drawing.inputs == [f"noise {i}" for i in range(4)]
    assert [len(row) for row in picture.rows] == [5] * 6
    assert not picture.marked
    noise = model.prior_codes(4, seed=5)
    assert torch.equal(drawing.tensors["codes"][::2, 0], noise[:3])
    assert torch.equal(drawing.tensors["codes"][::2, -1], noise[1:])
    images = (model.decode(noise) + 1) / 2
    torch.testing.assert_close(drawing.tensors["images"][0, 0], images[0].clamp(0, 1))
    again, other = drawn(model, seed=5), drawn(model, seed=6)
    assert torch.equal(again.tensors["images"], drawing.tensors["images"])
    assert not torch.equal(other.tensors["codes"], drawing.tensors["codes"])


def test_random_codes_of_an_autoencoder_need_a_prior() -> None:
    drawing = drawn(LinearAE(), "random", prior=NormalPrior())
    assert drawing.tensors["codes"].shape == (6, 5, 3)


def test_each_panel_of_a_conditional_model_has_the_class_of_the_nearer_end() -> None:
    model = ConditionalVAE(scales=[0.01] * 3)
    drawing = drawn(model, [0, 2])
    shift = drawing.tensors["images"].flatten(2).mean(2) - (
        LinearAE(scales=[0.01] * 3)
        .decode(drawing.tensors["codes"].flatten(0, 1))
        .flatten(1)
        .mean(1)
    ).unflatten(0, (2, 5))
    expected = torch.tensor([0.0, 0, 0, 2, 2]) / 20
    torch.testing.assert_close(shift, expected.expand(2, -1), atol=1e-5, rtol=0)
    assert drawing.notes[-1] == "each panel is decoded with the class of the nearer end"
    assert "nearer" not in drawn(model, [0, 3]).notes[-1]  # both of class 0


def test_conditional_gan_takes_classes_in_turn_or_the_one_given() -> None:
    assert drawn(ConditionalGAN()).inputs[1] == "noise 1 (class 1)"
    given = drawn(ConditionalGAN(), y=2)
    assert given.inputs[1] == "noise 1 (class 2)"
    assert "nearer" not in given.notes[-1]


def test_animation_goes_through_all_and_ends_where_it_began() -> None:
    looked = scene(LinearVAE(), [0, 1, 2])
    frames = tool(gif=True).draw(looked).frames
    assert len(frames) == 3 * 4
    reconstructed = looked.reconstruct(looked.inputs(None))
    x = looked.inputs(None).x
    pixels = []
    for k, frame in enumerate(frames):
        assert isinstance(frame, Sheet)
        assert [len(row) for row in frame.rows] == [3, 2]
        assert all(torch.equal(a, b) for a, b in zip(frame.rows[0], x, strict=True))  # type: ignore[arg-type]
        assert frame.marked == {(0, k // 4), (0, (k // 4 + 1) % 3)}
        pixels.append(frame.render(["small print"]))
        if k % 4 == 0:
            for panel in frame.rows[1]:
                torch.testing.assert_close(panel, reconstructed[k // 4])
    assert len({frame.shape for frame in pixels}) == 1
    assert not np.array_equal(pixels[0], pixels[2])
    assert not tool().draw(looked).frames


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"path": "arc"}, "path must be linear, spherical or both, got 'arc'"),
        ({"steps": 1}, "steps must be from 2 to 100, got 1"),
        ({"num": 51}, "num must be from 2 to 50, got 51"),
        ({"frames": 0}, "frames must be from 2 to 100, got 0"),
    ],
)
def test_options_out_of_range(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}$"):
        tool(**options)


def test_one_image_is_too_few_and_fifty_one_too_many() -> None:
    with pytest.raises(RunError, match="at least 2 are needed, got 1"):
        drawn(LinearAE(), [0])
    with pytest.raises(ValueError, match="images: at most 50 fit, got 51; name fewer"):
        drawn(LinearAE(), [0] * 51)
