"""The VampPrior: its density, its rate, and codes drawn from it."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.distributions import Categorical, Independent, MixtureSameFamily, Normal

from ganvas.losses.divergences import standard_normal_kl
from ganvas.losses.elbo import ElboLoss
from ganvas.models.vae.vamp import VampVAE
from ganvas.nn.dense import DenseDecoder, DenseEncoder
from ganvas.nn.likelihoods import BernoulliLikelihood
from ganvas.types import Batch
from models.tiny import SHAPE, images, sgd


def vamp(num: int = 5, *, width: int = 3, mean: float = 0.5, std: float = 0.3) -> VampVAE:
    """A linear encoder without hidden layer; the same weights each time."""
    torch.manual_seed(1)
    network: Any = {
        "encoder": partial(DenseEncoder, hidden=[]),
        "decoder": partial(DenseDecoder, hidden=[8]),
    }
    return VampVAE(
        image_shape=SHAPE,
        latent_dim=width,
        network=network,
        likelihood=BernoulliLikelihood(),
        loss=ElboLoss(beta=1.0, reconstruction_weight=1.0),
        optimizer=sgd,
        num_pseudo_inputs=num,
        pseudo_input_mean=mean,
        pseudo_input_std=std,
    ).double()


def mixture(model: VampVAE) -> MixtureSameFamily:
    """The prior by hand, from the encoder's raw outputs."""
    mu, log_var = model.encoder(model.pseudo_inputs.pixels.clamp(0, 1)).chunk(2, dim=1)
    components = Independent(Normal(mu, log_var.exp().sqrt()), 1)
    return MixtureSameFamily(Categorical(mu.new_ones(len(mu))), components)


def standard_prior(model: VampVAE) -> None:
    """One black pseudo-input that is encoded to N(0, I)."""
    with torch.no_grad():
        model.pseudo_inputs.pixels.zero_()
        for name, value in model.encoder.named_parameters():
            if name.endswith("bias"):
                value.zero_()


def codes(num: int, width: int = 3) -> Tensor:
    return torch.randn(num, width, generator=torch.Generator().manual_seed(2)).double()


def test_its_density_is_that_of_a_mixture_made_by_hand() -> None:
    model, z = vamp().requires_grad_(False), codes(20)
    got = model.prior_log_prob(z)
    torch.testing.assert_close(got, mixture(model).log_prob(z), rtol=0, atol=1e-12)
    assert (got - Normal(0, 1).log_prob(z).sum(1)).abs().max() > 0.1


def test_its_density_integrates_to_one() -> None:
    model = vamp(width=1).requires_grad_(False)
    z = torch.linspace(-30, 30, 6001, dtype=torch.float64)
    total = torch.trapezoid(model.prior_log_prob(z[:, None]).exp(), z)
    assert total.item() == pytest.approx(1, abs=1e-6)


def test_with_a_standard_normal_component_the_rate_is_a_sample_of_the_vaes() -> None:
    model = vamp(num=1).requires_grad_(False)
    standard_prior(model)
    outputs = model.outputs(Batch(images(1).double().expand(20_000, -1, -1, -1)))
    z, q = outputs.z, outputs.posterior
    log_q = Normal(q.mu, (0.5 * q.log_var).exp()).log_prob(z).sum(1)
    expected = log_q - Normal(0, 1).log_prob(z).sum(1)
    torch.testing.assert_close(outputs.rate, expected, rtol=0, atol=1e-12)
    exact = standard_normal_kl(q)[0]
    assert abs(outputs.rate.mean() - exact) < 4 * outputs.rate.std() / len(z) ** 0.5
    other = vamp(num=1, mean=0.9).requires_grad_(False)
    assert (other.rate(q, z) - expected).mean().abs() > 0.1


def test_pseudo_inputs_equal_to_the_image_cost_nothing() -> None:
    model, x = vamp(num=1).requires_grad_(False), images(1).double()
    model.pseudo_inputs.pixels.copy_(x)
    rate = model.outputs(Batch(x.expand(10, -1, -1, -1))).rate
    torch.testing.assert_close(rate, torch.zeros_like(rate), rtol=0, atol=1e-12)


def test_the_objective_trains_the_pseudo_inputs_and_the_elbo_has_the_rate() -> None:
    model, batch = vamp(), Batch(images(6).double())
    outputs, terms = model.outputs(batch), model.loss_terms(batch)
    assert torch.equal(terms.parts["rate"], outputs.rate.mean())
    assert torch.equal(terms.total, -terms.parts["elbo"])
    terms.total.backward()
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in model.parameters())
    names = {id(p) for network in model.networks().values() for p in network.parameters()}
    assert id(model.pseudo_inputs.pixels) in names


def test_pseudo_inputs_stay_images() -> None:
    model = vamp(std=5.0)
    assert model.pseudo_inputs.pixels.min() < 0
    assert model.pseudo_inputs().min() == 0
    assert model.pseudo_inputs().max() == 1
    assert model.pseudo_inputs().shape == (5, *SHAPE)


def test_codes_come_from_every_component_alike() -> None:
    model = vamp(num=4).requires_grad_(False)
    with torch.no_grad():  # four black or white halves, far apart and narrow
        last = list(model.encoder.parameters())
        last[0].mul_(20)
        last[0][3:] = 0
        last[1][3:] = -8
    drawn, centres = model.prior_codes(4000, seed=1), model.components().mu
    nearest = torch.cdist(drawn, centres).argmin(1)
    counts = nearest.bincount(minlength=4)
    assert (counts - 1000).abs().max() < 4 * (4000 * 0.25 * 0.75) ** 0.5
    spread = (drawn - centres[nearest]).std(0)
    torch.testing.assert_close(spread, torch.full_like(spread, 0.0183), rtol=0.05, atol=0)


def test_codes_have_the_moments_of_the_mixture_and_a_seed() -> None:
    model = vamp().requires_grad_(False)
    drawn, prior = model.prior_codes(20_000, seed=3), mixture(model)
    error = (drawn.mean(0) - prior.mean) / (prior.variance / len(drawn)).sqrt()
    assert error.abs().max() < 4
    torch.testing.assert_close(drawn.var(0), prior.variance, rtol=0.05, atol=0)
    assert torch.equal(model.prior_codes(20_000, seed=3), drawn)
    assert not torch.equal(model.prior_codes(20_000, seed=4), drawn)


def test_a_loss_that_draws_from_the_prior_gets_its_codes() -> None:
    model = vamp().requires_grad_(False)
    outputs = model.outputs(Batch(images(1).double().expand(5000, -1, -1, -1)))
    drawn, prior = outputs.draw_prior(), mixture(model)
    error = (drawn.mean(0) - prior.mean) / (prior.variance / len(drawn)).sqrt()
    assert error.abs().max() < 4
    assert (prior.mean / (prior.variance / len(drawn)).sqrt()).abs().max() > 10  # not N(0, I)
    assert torch.equal(outputs.draw_prior(), drawn)


def test_a_prior_without_components_is_refused() -> None:
    with pytest.raises(ValueError, match="num_pseudo_inputs must be at least 1, got 0; for a fix"):
        vamp(num=0)


def test_equal_pseudo_inputs_are_refused() -> None:
    with pytest.raises(ValueError, match="pseudo_input_std must be positive, got 0"):
        vamp(std=0)
