"""What the presets of GANs and of their optimizers choose, and one side's optimizer replaced."""

from __future__ import annotations

import warnings

import pytest
import torch
from torch import nn

from ganvas.engine.build import build_model, instantiate
from ganvas.engine.check import check_build, check_overrides
from ganvas.losses.adversarial import LeastSquaresLoss, NonSaturatingLoss, WassersteinLoss
from ganvas.losses.penalties import Dragan, GradientPenalty, WeightClipping
from ganvas.models.gan.gan import GAN

SIDES = ("generator", "critic")


def optimizers(*overrides: str) -> dict[str, torch.optim.Optimizer]:
    """The optimizer of each side, over one weight."""
    node = check_overrides(["model=gan", "logger=none", *overrides]).config["optimizer"]
    return {side: instantiate(node[side])([nn.Parameter(torch.zeros(1))]) for side in SIDES}


ADAMS = {
    "adam_gan": ((2e-4, 2e-4), (0.5, 0.999)),
    "adam_ttur": ((1e-4, 4e-4), (0.0, 0.9)),
    "adam_wgan_gp": ((1e-4, 1e-4), (0.0, 0.9)),
    "adam_r3gan": ((2e-4, 2e-4), (0.0, 0.99)),
    "adam_vae_gan": ((1e-3, 1e-4), (0.5, 0.999)),
}


@pytest.mark.parametrize("name", ADAMS)
def test_adam_by_side(name: str) -> None:
    rates, betas = ADAMS[name]
    for (side, optimizer), rate in zip(optimizers(f"optimizer={name}").items(), rates, strict=True):
        assert type(optimizer) is torch.optim.Adam, side
        assert optimizer.defaults["lr"] == rate
        assert tuple(optimizer.defaults["betas"]) == betas


def test_rmsprop_by_side() -> None:
    for optimizer in optimizers("optimizer=rmsprop_gan").values():
        assert type(optimizer) is torch.optim.RMSprop
        assert optimizer.defaults["lr"] == 5e-5


@pytest.mark.parametrize("preset", ["adam_gan", "adam_ttur", "rmsprop_gan", "adam_r3gan"])
@pytest.mark.parametrize("side", SIDES)
def test_the_optimizer_of_one_side_is_replaced_as_a_whole(preset: str, side: str) -> None:
    """Nothing of the old one's arguments is left; the other side keeps its own."""
    before = optimizers(f"optimizer={preset}")
    after = optimizers(
        f"optimizer={preset}", f"optimizer@optimizer.{side}=sgd", f"optimizer.{side}.lr=0.01"
    )
    assert type(after[side]) is torch.optim.SGD
    assert after[side].defaults["lr"] == 0.01
    other = SIDES[side == "generator"]
    assert type(after[other]) is type(before[other])
    assert after[other].defaults == before[other].defaults


def test_any_class_of_torch_without_a_file() -> None:
    node = "{_target_: torch.optim.Adagrad, _partial_: true, lr: 0.01}"
    found = optimizers("~optimizer.critic", f"+optimizer.critic={node}")
    assert type(found["critic"]) is torch.optim.Adagrad
    assert type(found["generator"]) is torch.optim.Adam


PRESETS = {
    "dcgan": (NonSaturatingLoss, [], "adam_gan", 1),
    "lsgan": (LeastSquaresLoss, [], "adam_gan", 1),
    "wgan": (WassersteinLoss, [WeightClipping], "rmsprop_gan", 5),
    "wgan_gp": (WassersteinLoss, [GradientPenalty], "adam_wgan_gp", 5),
    "dragan": (NonSaturatingLoss, [Dragan], "adam_gan", 1),
}


@pytest.mark.parametrize("name", PRESETS)
def test_presets_of_models(name: str) -> None:
    """And none warns of its own critic."""
    loss, penalties, optimizer, n_critic = PRESETS[name]
    checked = check_overrides([f"model={name}", "dataset=digits", "logger=none"])
    assert checked.choices["optimizer"] == optimizer
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = build_model(checked, check_build(checked)[0])
    assert type(model) is GAN
    assert type(model.loss) is loss
    assert [type(penalty) for penalty in model.penalty.values()] == penalties
    assert model.n_critic == n_critic


def test_a_preset_with_a_batch_norm_critic_warns() -> None:
    checked = check_overrides(["model=wgan_gp", "network=dcgan", "logger=none"])
    with pytest.warns(UserWarning, match=r"penalty=gradient_penalty .* network.critic.norm=null"):
        check_build(checked)
