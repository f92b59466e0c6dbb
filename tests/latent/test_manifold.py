"""`tool=manifold`: quantiles of the prior, the range of codes, and where each image stands."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from ganvas.latent.chart import Stack
from ganvas.latent.lettering import number
from ganvas.latent.manifold import Manifold, even_range, grid, normal_quantiles
from ganvas.latent.sheet import Sheet
from latent.scenes import (
    CENTRE,
    ConditionalVAE,
    LinearAE,
    LinearGAN,
    LinearVAE,
    class_data,
    scene,
)


def manifold(**options: Any) -> Manifold:
    return Manifold(**{"size": 5, "spread": "auto", **options})


def test_quantiles_stand_for_equal_shares_of_the_prior() -> None:
    points = normal_quantiles(8).double()
    torch.testing.assert_close(torch.special.ndtr(points), (torch.arange(8) + 0.5).double() / 8)
    torch.testing.assert_close(points, -points.flip(0))
    assert normal_quantiles(1).tolist() == [0]


def test_even_range_leaves_a_hundredth_out_on_each_side() -> None:
    z = torch.stack([torch.linspace(0, 100, 1001), torch.linspace(-2, 2, 1001)], dim=1)
    across, up = even_range(z[torch.randperm(1001, generator=torch.Generator().manual_seed(0))], 3)
    torch.testing.assert_close(across, torch.tensor([1.0, 50.0, 99.0]))
    torch.testing.assert_close(up, torch.tensor([-1.96, 0.0, 1.96]))


def test_the_first_coordinate_grows_to_the_right_and_the_second_upwards() -> None:
    codes = grid(torch.tensor([1.0, 2.0, 3.0]), up=torch.tensor([-1.0, 1.0]))
    assert codes.tolist() == [
        [[1, 1], [2, 1], [3, 1]],
        [[1, -1], [2, -1], [3, -1]],
    ]


def test_images_of_a_linear_decoder_are_those_of_the_coordinates() -> None:
    model = LinearVAE(2, scales=[0.1, 0.2])
    drawing = manifold().draw(scene(model))
    sheet, points = drawing.picture, normal_quantiles(5)
    assert isinstance(sheet, Sheet)
    for row in range(5):
        for column in range(5):
            z = torch.stack([points[column], points[4 - row]])
            expected = (CENTRE + (z * model.s) @ model.w).unflatten(0, model.image_shape)
            panel = sheet.rows[row][column]
            assert panel is not None
            torch.testing.assert_close(panel, expected.clamp(0, 1), atol=1e-6, rtol=0)
    assert sheet.column_labels[0] == "−1.28" and sheet.row_labels[0] == "1.28"
    assert drawing.values["z0_min"] == pytest.approx(-1.2816)
    assert "each image stands for the same share of the prior" in drawing.notes[0]


def test_pixels_stand_where_the_labels_say() -> None:
    drawing = manifold(size=3).draw(scene(LinearVAE(2, scales=[0.1, 0.2])))
    sheet, images = drawing.picture, drawing.tensors["images"]
    assert isinstance(sheet, Sheet) and len(sheet.boxes) == 9
    pixels = sheet.render()
    for (row, column), (left, top, right, bottom) in sheet.boxes.items():
        shown = pixels[top : bottom : sheet.zoom, left : right : sheet.zoom, 0]
        expected = (images[row, column, 0] * 255).round().numpy()
        np.testing.assert_allclose(shown, expected, atol=1)


def test_without_a_normal_prior_axes_go_over_the_codes() -> None:
    seen = scene(LinearAE(2, scales=[0.01, 1.0]))
    drawing = manifold(size=4).draw(seen)
    across, up = even_range(seen.encodings().z, 4)
    torch.testing.assert_close(drawing.tensors["codes"][0, :, 0], across)
    torch.testing.assert_close(drawing.tensors["codes"][:, 0, 1], up.flip(0))
    assert "the codes of 40 test images" in drawing.notes[0]
    asked = manifold(size=4, spread="codes").draw(scene(LinearVAE(2, scales=[0.01, 1.0])))
    torch.testing.assert_close(asked.tensors["codes"], drawing.tensors["codes"])


def test_a_generator_needs_no_data() -> None:
    def no_data() -> Any:
        raise AssertionError("data were asked for")

    drawing = manifold().draw(scene(LinearGAN(2), data=no_data))
    torch.testing.assert_close(drawing.tensors["codes"][0, :, 0], normal_quantiles(5))
    evenly = manifold(spread="codes").draw(scene(LinearGAN(2), data=no_data))
    assert 2.2 < evenly.values["z0_max"] < 2.45  # Φ⁻¹(0.99) = 2.33
    assert "10,000 codes from the prior" in evenly.notes[0]


def test_a_conditional_model_shows_one_class_or_each_of_several() -> None:
    model = ConditionalVAE(2, scales=[0.01, 0.01])
    first = manifold(size=2).draw(scene(model))
    assert "class 0 of 3" in first.notes[1]
    images = {y: manifold(size=2).draw(scene(model, y=y)).tensors["images"] for y in range(3)}
    torch.testing.assert_close(first.tensors["images"], images[0])
    torch.testing.assert_close(images[2], images[0] + 0.1)
    both = manifold(size=2).draw(scene(model, y=[2, 0]))
    torch.testing.assert_close(both.tensors["images"], torch.stack([images[2], images[0]]))
    assert isinstance(both.picture, Stack)
    assert [sheet.title[:25] for sheet in both.picture.pictures] == [  # type: ignore[attr-defined]
        "The latent plane, class 2",
        "The latent plane, class 0",
    ]


@pytest.mark.parametrize("model", [LinearVAE(3), LinearAE(3), LinearGAN(3)])
def test_other_widths_are_refused(model: Any) -> None:
    with pytest.raises(ValueError, match=r"2 latent dimensions .* has 3; .*model\.latent_dim=2"):
        manifold().draw(scene(model))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": 1}, "^size must be from 2 to 100, got 1"),
        ({"spread": "wide"}, "^spread must be auto, prior or codes, got 'wide'"),
    ],
)
def test_options_out_of_range_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        manifold(**options)


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^spread: prior is for .*LinearAE.*take spread=codes"):
        manifold(spread="prior").draw(scene(LinearAE(2)))
    with pytest.raises(ValueError, match=r"^images: .*no images are taken, got \[0\]; leave"):
        manifold().draw(scene(LinearVAE(2), [0]))
    with pytest.raises(ValueError, match="not conditional"):
        manifold().draw(scene(LinearVAE(2), y=1))
    with pytest.raises(ValueError, match="from 0 to 2, got 7"):
        manifold().draw(scene(ConditionalVAE(2), y=7))


def test_nothing_depends_on_the_seed_or_the_global_state() -> None:
    data = class_data()
    torch.manual_seed(1)
    first = manifold(spread="codes").draw(scene(LinearVAE(2), data=data, seed=0))
    torch.manual_seed(2)
    second = manifold(spread="codes").draw(scene(LinearVAE(2), data=data, seed=5))
    assert np.array_equal(first.picture.render(), second.picture.render())


def test_numbers_are_short() -> None:
    assert [number(v) for v in (-1.2345, 0.0, 0.5, 0.00123)] == ["−1.23", "0.00", "0.50", "0.0012"]
