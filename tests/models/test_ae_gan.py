"""Any autoencoder with a critic on its reconstructions."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from ganvas.engine.check import check_build, check_overrides
from ganvas.errors import ConfigError
from ganvas.losses.adversarial import NonSaturatingLoss
from ganvas.losses.elbo import ElboLoss
from ganvas.losses.reconstruction import SquaredError
from ganvas.models.autoencoder.ae import Autoencoder
from ganvas.models.hybrid.ae_gan import AEGAN
from ganvas.models.vae.vae import VAE
from ganvas.nn.likelihoods import BernoulliLikelihood
from ganvas.protocols import Decodes, Encodes, Reconstructs, Samples
from ganvas.types import Batch
from models.hybrids import (
    assert_sides_are_apart,
    assert_three_steps_train_all,
    generator_gradients,
    network,
)
from models.tiny import SHAPE, batches, fit, images, sgd

ELBO = {"loss": ElboLoss(beta=1.0, reconstruction_weight=1.0), "likelihood": BernoulliLikelihood()}


def ae_gan(kind: type = Autoencoder, *, weight: float = 2.0, **groups: Any) -> AEGAN:
    torch.manual_seed(1)
    return AEGAN(
        image_shape=SHAPE,
        autoencoder=partial(kind, latent_dim=3),
        network=network(),
        adversarial=NonSaturatingLoss(),
        adversarial_weight=weight,
        optimizer={"generator": sgd, "critic": sgd},
        n_critic=1,
        **(groups or {"loss": SquaredError()}),
    )


def plain(model: AEGAN, kind: type = Autoencoder, **groups: Any) -> Any:
    """The autoencoder by itself, with the same weights."""
    made = kind(
        image_shape=SHAPE,
        latent_dim=3,
        network=network(),
        optimizer=sgd,
        **(groups or {"loss": SquaredError()}),
    )
    made.load_state_dict(model.autoencoder.state_dict())
    return made


@pytest.mark.parametrize(("kind", "groups"), [(Autoencoder, {}), (VAE, ELBO)])
def test_weight_zero_is_the_plain_model_to_the_bit(kind: type, groups: dict[str, Any]) -> None:
    batch, names = Batch(images(6)), ["encoder", "decoder"]
    model = ae_gan(kind, weight=0.0, **groups)
    alone = plain(model, kind, **groups)
    terms = alone.loss_terms(batch)
    terms.total.backward()
    made = generator_gradients(model, batch, names)
    other = generator_gradients(ae_gan(kind, weight=3.0, **groups), batch, names)
    for name in names:
        expected = [p.grad for p in alone.networks()[name].parameters()]
        assert all(torch.equal(g, e) for g, e in zip(made[name], expected, strict=True))
        assert not any(torch.equal(g, e) for g, e in zip(other[name], expected, strict=True))
    got = model.generator_terms(batch)
    assert torch.equal(got.parts["loss"], terms.total)
    assert all(torch.equal(got.parts[part], value) for part, value in terms.parts.items())


def test_the_total_is_the_loss_and_the_weighted_game_on_reconstructions() -> None:
    model, batch = ae_gan(), Batch(images(6))
    terms = model.generator_terms(batch)
    made = model.reconstruct(batch.x)
    game = model.adversarial.generator(None, model.critic(made).squeeze(1)).mean()
    torch.testing.assert_close(terms.parts["adversarial"], game)
    torch.testing.assert_close(terms.total, terms.parts["mse"] + 2.0 * game)
    real, fake = (model.critic(x).squeeze(1) for x in (batch.x, made))
    expected = model.adversarial.critic(real, fake).mean()
    torch.testing.assert_close(model.critic_terms(batch).total, expected)


def test_the_noise_of_the_model_inside_follows_seed_and_step() -> None:
    model, batch = ae_gan(VAE, **ELBO), Batch(images(6))
    alone = plain(model, VAE, **ELBO)
    seen = []
    for seed, step in ((0, 0), (0, 1), (5, 1)):
        for module in (model, alone):
            module.seed, module.counters["step"] = seed, step
        loss = model.generator_terms(batch).parts["loss"]
        assert torch.equal(loss, alone.loss_terms(batch).total)
        seen.append(loss.item())
    assert len(set(seen)) == 3


def test_a_step_counts_once_and_the_model_inside_keeps_no_count_of_its_own() -> None:
    model = ae_gan(VAE, **ELBO)
    fit(model, batches(num=3, size=4))
    assert model.counters["step"] == 3
    model.reset_counters()
    model.generator_terms(Batch(images(4)))
    assert model.autoencoder.step == 0


def test_it_codes_as_the_model_inside_does() -> None:
    model, x = ae_gan(VAE, **ELBO), images(4)
    assert isinstance(model, Encodes)
    assert isinstance(model, Decodes)
    assert isinstance(model, Reconstructs)
    assert not isinstance(model, Samples)
    assert model.latent_dim == 3
    assert torch.equal(model.encode(x), model.autoencoder.encode(x))
    assert torch.equal(model.decode(model.encode(x)), model.reconstruct(x))
    assert torch.equal(model.reconstruct(x), model.autoencoder.reconstruct(x))


@pytest.mark.parametrize(("kind", "groups"), [(Autoencoder, {}), (VAE, ELBO)])
def test_each_side_trains_its_own_networks(kind: type, groups: dict[str, Any]) -> None:
    assert_sides_are_apart(ae_gan(kind, **groups), Batch(images(6)))
    assert_three_steps_train_all(ae_gan(kind, **groups))


def test_a_negative_weight_is_refused() -> None:
    with pytest.raises(ValueError, match="adversarial_weight must be at least 0, got -2"):
        ae_gan(weight=-2.0)


def check(overrides: list[str], tmp_path: Path) -> Any:
    job = ["model=ae_gan", "dataset=digits", "logger=none", f"paths.runs_dir={tmp_path}"]
    return check_build(check_overrides([*job, *overrides]))[1]


def test_a_vae_stands_inside_by_config(tmp_path: Path) -> None:
    vae = "model.autoencoder._target_=ganvas.models.vae.vae.VAE"
    model = check([vae, "loss=elbo", "+likelihood=bernoulli"], tmp_path)
    assert isinstance(model.autoencoder, VAE)
    with pytest.raises(ConfigError, match=r"its VAE needs likelihood: add \+likelihood=…"):
        check([vae, "loss=elbo"], tmp_path)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("loss=elbo", "loss=elbo does not fit the Autoencoder of model.autoencoder: a Recon"),
        ("+likelihood=bernoulli", "the Autoencoder of model.autoencoder takes no likelihood"),
        ("model.autoencoder.latent_dim=0", "latent_dim must be at least 1, got 0"),
        ("+model.autoencoder.width=3", "`model.autoencoder.width`: no such key"),
        ("~model.autoencoder._partial_", "`model.autoencoder.loss`: a value is required"),
        (
            "model.autoencoder._target_=ganvas.models.gan.gan.GAN",
            "loss=mse does not fit the GAN of model.autoencoder: an AdversarialLoss is needed",
        ),
    ],
)
def test_an_impossible_model_inside_is_refused(override: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as refused:
        check([override], tmp_path)
    assert message in str(refused.value)
