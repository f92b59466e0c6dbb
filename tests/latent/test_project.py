"""Search in latent space: against least squares, and against the model's own samples."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from evaluation.subjects import CLASSES
from ganvas.latent.project import Project
from ganvas.latent.search import descend, milestones
from ganvas.latent.sheet import Sheet
from ganvas.latent.tool import Drawing
from ganvas.losses.adversarial import NonSaturatingLoss
from ganvas.metrics.reconstruction import psnr
from ganvas.models.gan.gan import GAN
from ganvas.nn.dense import DenseDecoder, DenseEncoder
from ganvas.nn.extractor import Extractor
from ganvas.nn.frozen import Frozen
from latent.scenes import ConditionalGAN, Linear, LinearAE, LinearGAN, LinearVAE, scene
from models.tiny import SHAPE, sgd

QUICK: dict[str, Any] = {
    "steps": 400,
    "lr": 0.1,
    "restarts": 2,
    "from_encoder": False,
    "prior_weight": 0.0,
    "feature_weight": 0.0,
}


def project(model: Any, images: Any = None, *, scened: Any = None, **options: Any) -> Drawing:
    return Project(**{**QUICK, **options}).draw(scene(model, images, **(scened or {})))


def least_squares(model: Linear, x: Tensor, *, ridge: float = 0.0) -> Tensor:
    """argmin ‖x − c − Wᵀz‖² + λ ‖z‖² of orthonormal directions."""
    return (x.flatten(1) - 0.5) @ model.w.T / (1 + ridge)


@pytest.mark.parametrize("model", [LinearGAN(), LinearVAE()])
def test_a_linear_decoder_is_solved_by_least_squares(model: Linear) -> None:
    found = project(model)
    expected = least_squares(model, found.tensors["targets"])
    torch.testing.assert_close(found.tensors["codes"], expected, atol=1e-4, rtol=0)
    made = (0.5 + expected @ model.w).unflatten(1, model.image_shape).clamp(0, 1)
    errors = (made - found.tensors["targets"]).double().square().flatten(1).mean(1)
    torch.testing.assert_close(found.tensors["errors"], errors, atol=1e-6, rtol=0)
    assert found.values["mean_error"] == pytest.approx(errors.mean().item(), rel=1e-4)
    assert found.values["mean_psnr"] == pytest.approx(psnr(errors).mean().item(), rel=1e-4)
    assert found.values["sqrt_dim"] == pytest.approx(3**0.5)
    norm = expected.norm(dim=1).mean().item()
    assert found.values["mean_norm"] == pytest.approx(norm, rel=1e-3)


def test_the_weight_of_the_prior_makes_it_ridge_regression() -> None:
    model = LinearGAN()
    found = project(model, prior_weight=0.5)
    expected = least_squares(model, found.tensors["targets"], ridge=0.5)
    torch.testing.assert_close(found.tensors["codes"], expected, atol=1e-4, rtol=0)


def test_of_a_class_the_image_is_told_it() -> None:
    model = ConditionalGAN()
    shift = model.shift(torch.arange(6) % CLASSES)
    found = project(model)
    expected = least_squares(model, found.tensors["targets"] - shift)
    torch.testing.assert_close(found.tensors["codes"], expected, atol=1e-4, rtol=0)
    named = found.tensors["targets"][:2]
    other = project(model, list(named), scened={"y": 2})
    expected = least_squares(model, named - model.shift(torch.tensor([2])))
    torch.testing.assert_close(other.tensors["codes"], expected, atol=1e-4, rtol=0)


def nonlinear() -> GAN:
    """With dropout and batch norm, in training mode, whose average has other weights."""
    torch.manual_seed(1)
    hidden = partial(DenseDecoder, hidden=[32], norm=nn.BatchNorm1d, dropout=0.3, output=nn.Tanh)
    model = GAN(
        image_shape=SHAPE,
        latent_dim=3,
        network={"generator": hidden, "critic": partial(DenseEncoder, hidden=[8])},
        loss=NonSaturatingLoss(),
        penalty={},
        optimizer={"generator": sgd, "critic": sgd},
        n_critic=1,
        ema_decay=0.9,
    )
    nn.init.zeros_(model.generator.layers[0].weight)
    return model.train()


def test_a_sample_of_the_model_is_found_again() -> None:
    found = project(nonlinear(), "random", steps=400, restarts=8)
    assert found.values["mean_start_error"] > 0.01  # other codes than the samples' own
    assert found.tensors["errors"].max() < 1e-4


def test_more_restarts_and_more_looking_are_never_worse() -> None:
    model, worse = nonlinear(), torch.inf
    for restarts in (1, 2, 4):
        errors = project(model, steps=20, restarts=restarts).tensors["errors"]
        assert (errors <= worse + 1e-7).all()
        worse = errors


@pytest.mark.parametrize("lr", [0.1, 50.0])
def test_a_result_is_no_worse_than_its_start(lr: float) -> None:
    start = torch.randn(5, 3, generator=torch.Generator().manual_seed(0))
    codes, values = descend(
        lambda z: (z - 1).square().sum(1), start, steps=30, lr=lr, kept=list(range(31))
    )
    torch.testing.assert_close(codes[0], start)
    torch.testing.assert_close(values, (codes - 1).square().sum(2))
    assert (values.diff(dim=0) <= 0).all()
    if lr == 0.1:
        assert (values[-1] < 0.3 * values[0]).all()


def test_an_image_is_found_alike_alone_and_among_others() -> None:
    model = nonlinear()
    among = project(model, [4, 0, 2, 7]).tensors
    alone = project(model, [2]).tensors
    torch.testing.assert_close(among["codes"][2:3], alone["codes"], atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(among["errors"][2:3], alone["errors"], atol=1e-6, rtol=1e-4)


def test_no_weight_changes_and_no_global_state_is_used() -> None:
    model = nonlinear()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    state = torch.get_rng_state()
    one = project(model, steps=5)
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(3)
    other = project(model, steps=5)
    torch.testing.assert_close(one.tensors["codes"], other.tensors["codes"], atol=0, rtol=0)
    for name, value in model.state_dict().items():
        torch.testing.assert_close(value, before[name], atol=0, rtol=0)
    assert all(weight.grad is None for weight in model.parameters())
    assert project(model, scened={"seed": 1}, steps=5).values != one.values


def test_an_encoder_stands_beside_and_may_be_a_start() -> None:
    model = LinearAE()
    found = project(model, restarts=0, from_encoder=True, steps=1, lr=1e-9)
    x = found.tensors["targets"]
    torch.testing.assert_close(found.tensors["codes"], model.encode(x))
    assert found.values["mean_encoder_error"] == pytest.approx(found.values["mean_error"])
    assert "sqrt_dim" not in found.values  # no prior
    sheet = found.picture
    assert isinstance(sheet, Sheet)
    assert sheet.column_labels == ["target", "encoder", "start", "result", "|difference|"]
    torch.testing.assert_close(sheet.rows[3][1], model.reconstruct(x)[3].clamp(0, 1))


def test_features_may_count_too() -> None:
    """Features are three of the pixels: their weight is a weight of these pixels."""

    class Three(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.flatten(1)[:, :3]

    model = LinearGAN()
    options = {"scened": {"extractor": Extractor(Frozen(Three()))}, "feature_weight": 4.0}
    found = project(model, **options)
    x, weights = found.tensors["targets"].flatten(1) - 0.5, torch.ones(16)
    weights[:3] += 4
    w = model.w * weights
    expected = torch.linalg.solve(w @ model.w.T, w @ x.T).T
    torch.testing.assert_close(found.tensors["codes"], expected, atol=1e-3, rtol=0)


def test_the_picture_has_the_promised_panels() -> None:
    found = project(LinearGAN(), [3, 1])
    sheet = found.picture
    assert isinstance(sheet, Sheet)
    steps = [f"step {step}" for step in milestones(400, 5)[1:-1]]
    assert sheet.column_labels == ["target", "start", *steps, "result", "|difference|"]
    assert [len(row) for row in sheet.rows] == [7, 7]
    assert sheet.row_labels == ["test 3 (class 0)", "test 1 (class 1)"]
    x, images = found.tensors["targets"], found.tensors["images"]
    for i, row in enumerate(sheet.rows):
        assert torch.equal(row[0], x[i]) and torch.equal(row[5], images[i])
        assert torch.equal(row[6], (images[i] - x[i]).abs())
        decibel = psnr(found.tensors["errors"][i]).item()
        assert f"MSE {found.tensors['errors'][i]:.4f}\n{decibel:.1f} dB" in sheet.captions[i][5]
    left, top, right, bottom = sheet.boxes[1, 0]
    shown = sheet.render()[top:bottom:22, left:right:22, 0] / 255
    np.testing.assert_allclose(shown, x[1, 0], atol=0.5 / 255)
    assert {frame.render().shape for frame in found.frames} == {found.frames[0].render().shape}
    last = found.frames[-1]
    assert isinstance(last, Sheet) and last.title == "Step 400 of 400"
    assert torch.equal(torch.stack(list(last.rows[1])), images)  # type: ignore[arg-type]


def test_an_image_given_twice_is_told_of_twice() -> None:
    values = project(LinearGAN(), [3, 1, 3], steps=2).values
    said = [values[f"test 3 (class 0), number {i}"] for i in (0, 2)]
    assert said[0] == said[1] and "test 1 (class 1)" in values


@pytest.mark.parametrize("steps", [1, 2, 7, 300])
def test_milestones_begin_at_0_and_end_with_the_last(steps: int) -> None:
    found = milestones(steps, 5)
    assert found[0] == 0 and found[-1] == steps and len(found) <= 5
    assert found == sorted(set(found))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"steps": 0}, "steps must be from 1 to 100000, got 0"),
        ({"restarts": -1}, "restarts must be from 0 to 1000, got -1"),
        ({"restarts": 0}, "restarts must be at least 1 where from_encoder is false, got 0"),
        ({"lr": 0.0}, "lr must be positive, got 0.0"),
        ({"lr": float("nan")}, "lr must be positive, got nan"),
        ({"prior_weight": -1.0}, "prior_weight must be at least 0, got -1.0"),
        ({"feature_weight": float("inf")}, "feature_weight must be at least 0, got inf"),
    ],
)
def test_options_are_checked(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said.replace("(", r"\(")):
        Project(**{**QUICK, **options})


def test_what_a_model_lacks_is_said() -> None:
    with pytest.raises(ValueError, match="from_encoder must be false for LinearGAN"):
        project(LinearGAN(), from_encoder=True)
    with pytest.raises(ValueError, match=r"prior N\(0, I\), and LinearAE has"):
        project(LinearAE(), from_encoder=True, restarts=0, prior_weight=0.1)
