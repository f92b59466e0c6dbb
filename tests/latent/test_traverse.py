"""Traversals: rates, ranges and effects of linear models in closed form, and promised panels."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from evaluation.subjects import image_data
from ganvas.errors import RunError
from ganvas.evaluation.information import InformationMeasure
from ganvas.evaluation.priors import NormalPrior
from ganvas.latent.axes import axes_of
from ganvas.latent.chart import Stack
from ganvas.latent.lettering import signed
from ganvas.latent.sheet import Sheet
from ganvas.latent.tool import Drawing
from ganvas.latent.traverse import Traverse
from ganvas.models.base import GenerativeModule
from ganvas.pictures import to_uint8
from latent.scenes import (
    ConditionalGAN,
    ConditionalVAE,
    LinearAE,
    LinearGAN,
    LinearVAE,
    class_data,
    digits,
    scene,
)

SMALL = [0.02, 0.06, 0.04]
"""Scales at which no pixel leaves [0, 1] within three standard deviations of N(0, 1)."""


class UniformGAN(LinearGAN):
    """Codes from U(−1, 1), each σ = 1/√3."""

    standard_normal_prior = False

    def prior_codes(self, num: int, *, seed: int) -> Tensor:
        return 2 * torch.special.ndtr(super().prior_codes(num, seed=seed)) - 1


class OtherPriorVAE(LinearVAE):
    """q(z|x) as ever, but a prior that is not N(0, I)."""

    standard_normal_prior = False


def tool(**options: Any) -> Traverse:
    """With values like those of its config, but for `options`."""
    rows = {"around": "code", "dims": 10, "range": 3.0, "steps": 7, "num_images": None}
    given = {**rows, "gif": False, "frames": 8}
    return Traverse(**{**given, **options})


def drawn(model: GenerativeModule, images: Any = None, **options: Any) -> Drawing:
    return tool(**options).draw(scene(model, images))


def sheet(drawing: Drawing) -> Sheet:
    assert isinstance(drawing.picture, Sheet)
    return drawing.picture


def test_rates_are_those_of_the_information_measure_largest_first() -> None:
    looked = scene(LinearVAE(4, variances=[0.9, 0.01, 0.5, 0.1], scales=[0.3, 0.1, 0.2, 0.5]))
    measured = InformationMeasure(num_images=None, active_threshold=0.0).measure(looked.subject)
    rates = [measured[f"kl_0{j}"].value for j in range(4)]
    drawing = tool().draw(looked)
    order = sorted(range(4), key=lambda j: -rates[j])
    assert order != list(range(4))
    assert drawing.tensors["dims"].tolist() == order
    assert drawing.tensors["weights"].tolist() == pytest.approx(rates)
    expected = {f"rate_z{j}": rates[j] for j in order}
    expected["rate_of_all"] = sum(rates)
    assert dict(drawing.values) == pytest.approx(expected)
    assert list(drawing.values) == list(expected)
    labels = sheet(drawing).row_labels
    assert [label.splitlines()[:2] for label in labels] == [
        [f"z{j}", f"{rates[j]:.2f} nats"] for j in order
    ]


def test_rate_against_another_prior_in_closed_form() -> None:
    variances = torch.tensor([0.9, 0.01, 0.5])
    looked = scene(OtherPriorVAE(variances=variances.tolist()))
    axes = axes_of(looked, reach=3, num=None)
    means = looked.encodings().z.double()
    signal = means.var(0, correction=0)
    torch.testing.assert_close(axes.mean, means.mean(0))
    torch.testing.assert_close(axes.std, (signal + variances).sqrt(), atol=1e-6, rtol=1e-6)
    expected = 0.5 * (1 + signal / variances).log()  # a Gaussian channel
    torch.testing.assert_close(axes.weight, expected, atol=1e-6, rtol=1e-6)


def test_codes_without_posterior_by_variance_over_their_own_deviations() -> None:
    looked = scene(LinearAE(scales=[0.5, 0.1, 0.3]), [2])
    drawing = tool(range=2.0, steps=5).draw(looked)
    z = looked.encodings().z.double()
    order = z.var(0).argsort(descending=True)
    assert torch.equal(drawing.tensors["dims"], order)
    torch.testing.assert_close(drawing.tensors["weights"], z.var(0, correction=0))
    for row, j in zip(drawing.tensors["codes"][0], order.tolist(), strict=True):
        ends = z[:, j].mean() + torch.tensor([-2, -1, 0, 1, 2]) * z[:, j].std(correction=0)
        torch.testing.assert_close(row[:, j], ends.float())
    assert "variance" in sheet(drawing).title


def test_only_one_dimension_moves_and_takes_the_same_values_from_any_start() -> None:
    looked = scene(LinearVAE(scales=SMALL), [0, 5])
    drawing = tool().draw(looked)
    starts = looked.codes(2).z
    codes, dims = drawing.tensors["codes"], drawing.tensors["dims"].tolist()
    assert codes.shape == (2, 3, 7, 3)
    for start, rows in zip(starts, codes, strict=True):
        for j, row in zip(dims, rows, strict=True):
            torch.testing.assert_close(row[:, j], torch.linspace(-3, 3, 7))
            others = [k for k in range(3) if k != j]
            assert torch.equal(row[:, others], start[others].expand(7, -1))


def test_images_move_along_the_direction_of_their_dimension() -> None:
    model = LinearVAE(scales=SMALL)
    drawing = tool(around="mean").draw(scene(model))
    images = drawing.tensors["images"][0].flatten(2)
    for row, j in zip(images, drawing.tensors["dims"].tolist(), strict=True):
        expected = 0.5 + torch.linspace(-3, 3, 7)[:, None] * SMALL[j] * model.w[j]
        torch.testing.assert_close(row, expected)


@pytest.mark.parametrize(("model", "std"), [(LinearGAN, 1.0), (UniformGAN, 1 / math.sqrt(3))])
def test_effect_of_a_linear_generator_in_closed_form(model: Any, std: float) -> None:
    generator = model(scales=SMALL)
    drawing = tool().draw(scene(generator))
    change = generator.w.abs().mean(1) * generator.s * 6 * std
    torch.testing.assert_close(drawing.tensors["weights"].float(), change, rtol=0.02, atol=0)
    assert drawing.tensors["dims"][0] == change.argmax()
    assert drawing.inputs == ["noise 0"]
    assert "effect" in sheet(drawing).title
    assert not any("of all" in name for name in drawing.values)
    assert not sheet(drawing).marked


def test_panels_beside_the_image_and_its_reconstruction() -> None:
    looked = scene(LinearVAE(image_shape=(1, 8, 8)), [3], data=digits)
    drawing = tool(dims=2, steps=5).draw(looked)
    picture = sheet(drawing)
    assert [len(row) for row in picture.rows] == [6, 6]
    assert picture.column_labels == ["around", "−3 σ", "−1.5 σ", "0 σ", "+1.5 σ", "+3 σ"]
    assert picture.marked == {(0, 0)}
    assert picture.captions[1] == ["its reconstruction"]
    assert "2 of 3 dimensions are shown" in drawing.notes[-1]
    pixels = picture.render(drawing.notes)
    inputs = looked.inputs(1)
    shown = {
        (0, 0): inputs.x[0],
        (1, 0): looked.reconstruct(inputs)[0],
        (0, 1): drawing.tensors["images"][0, 0, 0],
        (1, 5): drawing.tensors["images"][0, 1, 4],
    }
    for place, image in shown.items():
        left, top, right, bottom = picture.boxes[place]
        panel = pixels[top : bottom : picture.zoom, left : right : picture.zoom, 0]
        assert np.array_equal(panel, to_uint8(image)[0])


def test_label_says_where_the_code_lies() -> None:
    looked = scene(LinearVAE(1), [0])
    drawing = tool().draw(looked)
    place = looked.codes(1).z.item()
    picture = sheet(drawing)
    assert picture.row_labels[0].splitlines()[2] == f"here {signed(place, 2)} σ"
    assert len(picture.rows) == 2  # one dimension, and two panels beside it
    assert len(picture.rows[1]) == 1
    picture.render()


def test_dimension_that_never_varies_stays_and_comes_last() -> None:
    class Silent(LinearAE):
        def encode(self, x: Tensor) -> Tensor:
            return super().encode(x) * torch.tensor([0.0, 1, 1])

    drawing = drawn(Silent(), [0])
    assert drawing.tensors["dims"][-1] == 0
    assert torch.equal(drawing.tensors["codes"][0, -1, :, 0], torch.zeros(7))
    assert sheet(drawing).row_labels[-1] == "z0\nvariance 0"
    assert axes_of(scene(Silent()), reach=3, num=None).places(torch.ones(3))[0].isnan()


def test_several_images_give_a_sheet_each() -> None:
    looked = scene(LinearVAE(), [0, 1, 2])
    drawing = tool().draw(looked)
    assert isinstance(drawing.picture, Stack)
    x = looked.inputs(3)
    for i, (part, made) in enumerate(
        zip(drawing.picture.pictures, looked.reconstruct(x), strict=True)
    ):
        assert isinstance(part, Sheet)
        assert part.title.endswith(f", around test {i} (class {i})")
        assert torch.equal(part.rows[0][0], x.x[i])  # type: ignore[arg-type]
        torch.testing.assert_close(part.rows[1][0], made)
    drawing.picture.render(["small print"])


def test_classes_of_conditional_models() -> None:
    vae = drawn(ConditionalVAE(scales=SMALL), [2])
    line = LinearVAE(scales=SMALL).decode(vae.tensors["codes"].flatten(0, 2))
    torch.testing.assert_close(vae.tensors["images"].flatten(0, 2), line + 2 / 20)
    gan = tool(around="mean").draw(scene(ConditionalGAN(scales=SMALL), y=[1, 2]))
    assert gan.inputs == ["the prior's mean (class 1)", "the prior's mean (class 2)"]
    one, two = gan.tensors["images"]
    torch.testing.assert_close(two, one + 1 / 20)


def test_mean_of_codes_where_there_is_no_prior() -> None:
    looked = scene(LinearAE())
    drawing = tool(around="mean", steps=3).draw(looked)
    mean = looked.encodings().z.mean(0)
    torch.testing.assert_close(drawing.tensors["codes"][0, :, 1], mean.expand(3, -1))
    assert drawing.inputs == ["the codes' mean"]


def test_random_codes_depend_on_the_seed() -> None:
    one, again, other = (
        tool().draw(scene(LinearAE(), "random", seed=seed, prior=NormalPrior()))
        for seed in (1, 1, 2)
    )
    assert torch.equal(one.tensors["images"], again.tensors["images"])
    assert not torch.equal(one.tensors["codes"], other.tensors["codes"])


def test_rates_of_the_first_images_alone_and_of_the_split_asked_for() -> None:
    model = LinearVAE()
    first = axes_of(scene(model), reach=3, num=5).weight
    by_hand = model.posterior(scene(model).inputs(5).x).mu.double()
    expected = 0.5 * (by_hand.square().mean(0) + 0.1 - 1 - math.log(0.1))
    torch.testing.assert_close(first, expected, atol=1e-6, rtol=1e-6)
    train = tool().draw(scene(model, split="train"))
    assert "50 train images" in train.notes[0]


def test_animation_goes_to_and_fro_with_all_dimensions() -> None:
    looked = scene(LinearVAE(scales=SMALL), [0, 1])
    drawing = tool(gif=True, frames=8).draw(looked)
    images = drawing.tensors["images"]
    assert len(drawing.frames) == 8
    for k, column in ((0, 3), (2, 6), (4, 3), (6, 0)):  # of seven: the middle, +3 σ, −3 σ
        frame = drawing.frames[k]
        assert isinstance(frame, Sheet)
        panels = torch.stack([torch.stack(list(row[1:])) for row in frame.rows])  # type: ignore[arg-type]
        torch.testing.assert_close(panels, images[:, :, column], atol=1e-6, rtol=0)
    assert drawing.frames[2].title.endswith("each at +3.0 σ")  # type: ignore[attr-defined]
    assert len({frame.render(["small print"]).shape for frame in drawing.frames}) == 1
    assert not tool().draw(looked).frames


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"around": "me"}, "around must be code or mean, got 'me'"),
        ({"dims": 0}, "dims must be from 1 to 200, got 0"),
        ({"range": 0.0}, "range must be a finite number above 0, got 0.0"),
        ({"range": math.inf}, "range must be a finite number above 0, got inf"),
        ({"steps": 101}, "steps must be from 2 to 100, got 101"),
        ({"num_images": 1}, "num_images must be at least 2, or null for all, got 1"),
        ({"frames": 3}, "frames must be from 4 to 200, got 3"),
    ],
)
def test_options_out_of_range(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}"):
        tool(**options)


def test_what_can_not_be_drawn_is_refused() -> None:
    with pytest.raises(ValueError, match="around=mean goes out from no image"):
        drawn(LinearAE(), [0], around="mean")
    with pytest.raises(ValueError, match="images: at most 20 fit, got 21; name fewer"):
        drawn(LinearAE(), [0] * 21)
    with pytest.raises(RunError, match="split=val: dataset has no such images"):
        tool().draw(scene(LinearAE(), split="val", data=image_data(val_size=0)))
    with pytest.raises(ValueError, match="split=val must have at least 2 images, got 1"):
        tool().draw(scene(LinearAE(), split="val", data=class_data(val_size=1)))
    broken = LinearVAE(variances=[math.inf, 1, 1])
    with pytest.raises(ValueError, match="NaN or infinite codes"):
        drawn(broken, [0])


def test_signs() -> None:
    assert [signed(v) for v in (-1.5, 0.0, -0.0, 3.0)] == ["−1.5", "0", "0", "+3"]
    assert [signed(v, 2) for v in (-0.001, 0.256)] == ["0", "+0.26"]
