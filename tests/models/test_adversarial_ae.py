"""Adversarial autoencoder: a critic of codes beside the distance; its loss is a choice."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from ganvas.engine.check import check_build, check_overrides
from ganvas.errors import ConfigError
from ganvas.losses.adversarial import AdversarialLoss, MinimaxLoss, NonSaturatingLoss
from ganvas.losses.reconstruction import SquaredError
from ganvas.models.autoencoder.ae import Autoencoder
from ganvas.models.hybrid.adversarial_ae import AdversarialAutoencoder
from ganvas.protocols import Samples
from ganvas.types import Batch
from models.hybrids import (
    assert_sides_are_apart,
    assert_three_steps_train_all,
    generator_gradients,
    network,
)
from models.tiny import SHAPE, images, sgd


def aae(*, weight: float = 2.0, loss: AdversarialLoss | None = None) -> AdversarialAutoencoder:
    torch.manual_seed(1)
    return AdversarialAutoencoder(
        image_shape=SHAPE,
        latent_dim=3,
        network=network(),
        loss=SquaredError(),
        adversarial=loss or NonSaturatingLoss(),
        adversarial_weight=weight,
        optimizer={"generator": sgd, "critic": sgd},
        n_critic=1,
    )


def test_prior_codes_are_real_and_codes_are_fake() -> None:
    model, batch = aae(), Batch(images(6))
    seen: list[Tensor] = []
    model.critic.register_forward_hook(lambda _m, args, _o: seen.append(args[0]))
    terms = model.critic_terms(batch)
    real, fake = seen
    assert torch.equal(real, model.noise(batch, 3))
    assert torch.equal(fake, model.encode(batch.x))
    expected = softplus(-model.critic(real)) + softplus(model.critic(fake))
    torch.testing.assert_close(terms.total, expected.mean())
    torch.testing.assert_close(terms.parts["real_logit"], model.critic(real).mean())
    torch.testing.assert_close(terms.parts["fake_logit"], model.critic(fake).mean())


def test_weight_zero_is_the_plain_autoencoder_to_the_bit() -> None:
    model, batch = aae(weight=0.0), Batch(images(6))
    plain = Autoencoder(
        image_shape=SHAPE, latent_dim=3, network=network(), loss=SquaredError(), optimizer=sgd
    )
    plain.encoder.load_state_dict(model.encoder.state_dict())
    plain.decoder.load_state_dict(model.decoder.state_dict())
    plain.loss_terms(batch).total.backward()
    made = generator_gradients(model, batch, ["encoder", "decoder"])
    for name, grads in made.items():
        expected = [p.grad for p in plain.networks()[name].parameters()]
        assert all(torch.equal(g, e) for g, e in zip(grads, expected, strict=True))


def test_the_game_reaches_the_encoder_and_not_the_decoder() -> None:
    batch, names = Batch(images(6)), ["encoder", "decoder"]
    without, with_game = (generator_gradients(aae(weight=w), batch, names) for w in (0.0, 5.0))
    for g, e in zip(with_game["decoder"], without["decoder"], strict=True):
        assert torch.equal(g, e)
    for g, e in zip(with_game["encoder"], without["encoder"], strict=True):
        assert not torch.equal(g, e)


@pytest.mark.parametrize("loss", [MinimaxLoss(), NonSaturatingLoss()])
def test_the_total_is_the_distance_and_the_weighted_game(loss: AdversarialLoss) -> None:
    model, batch = aae(loss=loss), Batch(images(6))
    terms = model.generator_terms(batch)
    game = loss.generator(None, model.critic(model.encode(batch.x))).mean()
    torch.testing.assert_close(terms.parts["adversarial"], game)
    torch.testing.assert_close(terms.total, terms.parts["mse"] + 2.0 * game)


class NearZero(nn.Module):
    """A critic that takes what lies near zero for real."""

    def forward(self, z: Tensor) -> Tensor:
        return -0.5 * z.square().sum(1)


def test_the_encoder_goes_where_the_critic_takes_codes_for_real() -> None:
    batch, left = Batch(images(8)), {}
    for weight in (0.0, 10.0):
        model: Any = aae(weight=weight)
        model.critic = NearZero()
        optimizer = torch.optim.SGD(model.encoder.parameters(), lr=0.01)
        with torch.no_grad():
            model.encoder.layers[-1].bias.add_(3.0)
        for _ in range(30):
            optimizer.zero_grad()
            model.generator_terms(batch).total.backward()
            optimizer.step()
        left[weight] = model.encode(batch.x).norm(dim=1).mean().item()
    assert left[10.0] < 2 < left[0.0]


def test_samples_are_decoded_from_the_standard_normal() -> None:
    model = aae()
    assert isinstance(model, Samples)
    codes = model.prior_codes(2000, seed=1)
    assert codes.mean().abs() < 0.05
    assert abs(codes.std().item() - 1) < 0.05
    assert torch.equal(model.sample(4, seed=1), model.decode(model.prior_codes(4, seed=1)))


def test_each_side_trains_its_own_networks() -> None:
    assert_sides_are_apart(aae(), Batch(images(6)))
    assert_three_steps_train_all(aae())


def test_a_negative_weight_is_refused() -> None:
    with pytest.raises(ValueError, match="adversarial_weight must be at least 0, got -2"):
        aae(weight=-2.0)


def check(overrides: list[str], tmp_path: Path) -> tuple[object, dict[str, str]]:
    job = ["model=adversarial_ae", "dataset=digits", "logger=none", f"paths.runs_dir={tmp_path}"]
    checked = check_overrides([*job, *overrides])
    return check_build(checked)[1], checked.choices


def test_both_losses_are_chosen_by_name(tmp_path: Path) -> None:
    model, choices = check(["loss=l1", "loss@model.adversarial=minimax"], tmp_path)
    assert isinstance(model, AdversarialAutoencoder)
    assert isinstance(model.adversarial, MinimaxLoss)
    assert model.loss.name == "l1"
    assert choices["loss"] == "l1"
    assert choices["loss@model.adversarial"] == "minimax"


@pytest.mark.parametrize(
    ("override", "message"),
    [
        (
            "loss@model.adversarial=mse",
            "loss@model.adversarial=mse does not fit model=adversarial_ae: "
            "an AdversarialLoss is needed, got SquaredError",
        ),
        ("loss=minimax", "loss=minimax does not fit model=adversarial_ae: a ReconstructionLoss"),
        ("loss@model.adversarial=minmax", "no such loss; did you mean `minimax`"),
        ("network=dense", "network=dense does not fit model=adversarial_ae: its parts must be"),
        ("model.adversarial_weight=-1", "adversarial_weight must be at least 0"),
    ],
)
def test_a_wrong_choice_is_refused(override: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as refused:
        check([override], tmp_path)
    assert message in str(refused.value)
