"""What a tool is shown: nothing is loaded before it is asked for, and labels go where they must."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from ganvas.data import ImageData
from ganvas.errors import GanvasWarning, RunError
from ganvas.evaluation.priors import NormalPrior
from ganvas.latent import scene as module
from latent.scenes import (
    ConditionalGAN,
    ConditionalVAE,
    LinearAE,
    LinearGAN,
    LinearVAE,
    class_data,
    scene,
)

CLASSES = 3


def no_data() -> ImageData:
    raise AssertionError("the data were asked for")


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    file = tmp_path / "picture.png"
    values = np.random.default_rng(0).integers(0, 255, (7, 9), "uint8")
    Image.fromarray(values).save(file)
    return file


@pytest.mark.parametrize("model", [LinearGAN, LinearVAE, ConditionalGAN, ConditionalVAE])
def test_random_codes_need_no_data(model: Any) -> None:
    made = scene(model(), "random", data=no_data)
    codes = made.codes(5)
    assert codes.z.shape == (5, 3)
    assert codes.inputs is None
    assert codes.notes == []
    assert made.decode(codes.z, codes.y).shape == (5, 1, 4, 4)


def test_a_model_without_encoder_draws_codes_unless_told_otherwise() -> None:
    assert scene(LinearGAN(), data=no_data).codes(4).inputs is None
    assert scene(LinearVAE()).codes(4).inputs is not None
    with pytest.raises(RunError, match=r"LinearGAN has no encoder.*images=random, or tool=project"):
        scene(LinearGAN(), [0, 1]).codes(4)


def test_nothing_is_loaded_before_it_is_asked_for() -> None:
    def refuse() -> Any:
        raise AssertionError("loaded")

    made = module.Scene(
        Path("run"),
        module.Request(images=[0]),
        load_view=refuse,
        load_data=refuse,
        load_codes=refuse,
        load_subject=refuse,
    )
    assert made.seed == 0
    assert not made.is_random
    made.of([3])
    for part in ("view", "data", "subject", "prior"):
        with pytest.raises(AssertionError, match="loaded"):
            getattr(made, part)


def test_codes_are_those_of_the_images() -> None:
    model = LinearVAE()
    codes = scene(model, [3, 0, 3], split="train").codes(1)
    assert codes.inputs is not None
    torch.testing.assert_close(codes.z, model.to_code(codes.inputs.x))
    torch.testing.assert_close(codes.z[0], codes.z[2])
    assert codes.inputs.y is not None
    classes = zip([3, 0, 3], codes.inputs.y.tolist(), strict=True)
    assert list(codes.names) == [f"train {i} (class {k})" for i, k in classes]
    assert codes.y is None


def test_reconstructions_and_decoded_codes_are_in_the_unit_range() -> None:
    made = scene(LinearAE(3))
    found = made.inputs(6)
    z = made.codes(6).z
    torch.testing.assert_close(made.reconstruct(found), made.decode(z))
    gan = LinearGAN()
    drawn = scene(gan, "random").codes(4)
    images = scene(gan).decode(drawn.z)
    torch.testing.assert_close(images, gan.to_image(drawn.z).clamp(0, 1))


def test_seeds() -> None:
    first, again, other = (scene(LinearGAN(), seed=seed).codes(3).z for seed in (1, 1, 2))
    torch.testing.assert_close(first, again)
    assert not torch.allclose(first, other)


def test_the_first_random_codes_are_the_same_of_any_number() -> None:
    few, many = (scene(LinearGAN()).codes(num).z for num in (3, 30))
    torch.testing.assert_close(few, many[:3])
    made = scene(LinearVAE(), "random", prior=NormalPrior())
    torch.testing.assert_close(made.codes(3).z, made.noise(30).z[:3])


def test_images_do_not_depend_on_the_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = scene(ConditionalVAE())
    codes, images = whole.codes(10), whole.reconstruct(whole.inputs(10))
    monkeypatch.setattr(module, "BATCH", 3)
    parts = scene(ConditionalVAE())
    found = parts.codes(10)
    torch.testing.assert_close(found.z, codes.z)
    torch.testing.assert_close(parts.reconstruct(parts.inputs(10)), images)
    torch.testing.assert_close(parts.decode(found.z, found.y), whole.decode(codes.z, codes.y))


@pytest.mark.parametrize(
    ("y", "classes"), [(None, [0, 1, 2, 0, 1]), (2, [2] * 5), ([2, 0], [2, 0, 2, 0, 2])]
)
def test_random_codes_of_a_conditional_model_have_classes(y: Any, classes: list[int]) -> None:
    codes = scene(ConditionalGAN(), "random", y=y).codes(5)
    assert codes.y is not None
    assert codes.y.tolist() == classes
    assert list(codes.names) == [f"noise {i} (class {k})" for i, k in enumerate(classes)]
    assert list(scene(LinearGAN()).codes(2).names) == ["noise 0", "noise 1"]


def test_images_of_the_data_are_encoded_with_their_class() -> None:
    model = ConditionalVAE()
    codes = scene(model, [0, 1, 5]).codes(1)
    assert codes.inputs is not None
    assert codes.y is not None
    assert codes.y.tolist() == [0, 1, 2]
    torch.testing.assert_close(codes.z, model.encode(codes.inputs.x, codes.y))


def test_files_get_the_classes_that_were_given_in_turn(picture: Path) -> None:
    made = scene(ConditionalVAE(), [1, picture, 2, picture, picture], y=[2, 0])
    found = made.inputs(1)
    assert found.y is not None
    assert found.y.tolist() == [1, 2, 2, 0, 2]
    assert found.caption(1) == "picture.png (class 2)"
    assert made.codes(1).y is not None


def test_classes_that_are_not_taken(picture: Path) -> None:
    with pytest.raises(RunError, match=r"y: ConditionalVAE is conditional.*name it, e.g. y=3"):
        scene(ConditionalVAE(), [0, picture]).codes(1)
    with pytest.raises(RunError, match=r"labels must be whole numbers from 0 to 2, got 3"):
        scene(ConditionalVAE(), [picture], y=3).codes(1)
    with pytest.raises(RunError, match=r"labels must be whole numbers from 0 to 2, got 9"):
        scene(ConditionalGAN(), "random", y=[0, 9]).codes(1)
    for images in ([0], [picture], "random"):
        with pytest.raises(RunError, match="LinearVAE is not conditional: leave out y"):
            scene(LinearVAE(), images, y=0).codes(1)
    with pytest.warns(GanvasWarning, match="y=1: left aside, since images of the data have their"):
        assert scene(ConditionalVAE(), [0, 2], y=1).inputs(1).y.tolist() == [0, 2]  # type: ignore[union-attr]


def test_fewer_images_than_needed() -> None:
    with pytest.raises(RunError, match=r"at least 2 are needed, got 1; name more.*images=\[0,1\]"):
        scene(LinearVAE(), [0]).inputs(1, least=2)
    with pytest.raises(RunError, match="images=random: this tool works on images"):
        scene(LinearVAE(), "random").inputs(2)
    assert len(scene(LinearVAE(), "random").codes(1, least=4).z) == 4


@pytest.mark.parametrize("num", [None, 7])
@pytest.mark.parametrize("model", [LinearVAE, ConditionalVAE])
def test_encodings_of_a_split(model: Any, num: int | None) -> None:
    made = scene(model())
    found = made.encodings("train", num=num)
    codes = scene(model(), list(range(num or 50)), split="train").codes(1)
    assert codes.inputs is not None
    torch.testing.assert_close(found.z, codes.z)
    torch.testing.assert_close(found.y, codes.inputs.y)


def test_encodings_of_a_split_without_images() -> None:
    with pytest.raises(RunError, match="split=val: dataset has no such images"):
        scene(LinearVAE(), split="val", data=class_data(val_size=0)).encodings()


def test_other_images_of_the_same_scene() -> None:
    made = scene(LinearVAE(), [0, 1], split="train", seed=5)
    other = made.of([2])
    assert other.view is made.view
    assert other.data is made.data
    assert other.seed == 5
    torch.testing.assert_close(
        other.inputs(1).x, scene(LinearVAE(), [2], split="train").inputs(1).x
    )


def test_nan_of_diverged_weights_is_refused() -> None:
    model = LinearVAE()
    model.w[0, 0] = torch.nan
    made = scene(model)
    for work in (
        lambda: made.codes(2),
        lambda: made.reconstruct(made.inputs(2)),
        lambda: made.decode(torch.zeros(2, 3)),
        lambda: made.encodings("test"),
    ):
        with pytest.raises(RunError, match=r"NaN or infinite \w+; its weights have diverged"):
            work()
