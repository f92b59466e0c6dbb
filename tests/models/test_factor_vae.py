"""FactorVAE: what is permuted, what the critic's estimate is worth, and whom it trains."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ganvas.losses.elbo import ElboLoss
from ganvas.models.hybrid.factor_vae import FactorVAE, permuted_columns
from ganvas.nn.likelihoods import BernoulliLikelihood
from ganvas.types import Batch
from models.hybrids import (
    assert_sides_are_apart,
    assert_three_steps_train_all,
    generator_gradients,
    network,
)
from models.tiny import SHAPE, images, sgd, vae


def factor_vae(*, gamma: float = 2.0, latent_dim: int = 3) -> FactorVAE:
    torch.manual_seed(1)
    return FactorVAE(
        image_shape=SHAPE,
        latent_dim=latent_dim,
        gamma=gamma,
        network=network(),
        likelihood=BernoulliLikelihood(),
        loss=ElboLoss(beta=1.0, reconstruction_weight=1.0),
        optimizer={"generator": sgd, "critic": sgd},
        n_critic=1,
    )


def normal(*size: int) -> Tensor:
    return torch.randn(*size, generator=torch.Generator().manual_seed(0))


def orders(codes: Tensor, permuted: Tensor) -> Tensor:
    """The row that each entry came from, `(B, Z)`, where all entries of a column differ."""
    return (permuted[:, None] == codes[None]).long().argmax(1)


def test_each_column_is_permuted_by_itself() -> None:
    codes, noise = normal(50, 4), normal(2, 50, 4)[1]
    permuted = permuted_columns(codes, noise)
    assert torch.equal(permuted.sort(0).values, codes.sort(0).values)
    rows = orders(codes, permuted)
    for i in range(4):
        assert sorted(rows[:, i].tolist()) == list(range(50))  # a permutation of its column
        for j in range(i):
            together = (rows[:, i] == rows[:, j]).sum().item()
            assert together < 8  # one in fifty by chance


def test_equal_noise_in_all_columns_would_move_whole_rows() -> None:
    codes = normal(50, 4)
    rows = orders(codes, permuted_columns(codes, normal(50, 1).expand(50, 4)))
    assert (rows == rows[:, :1]).all()


class FirstPixels(nn.Module):
    """An encoder: the first two pixels are the means, with next to no variance."""

    def forward(self, x: Tensor) -> Tensor:
        mu = x.flatten(1)[:, :2]
        return torch.cat([mu, torch.full_like(mu, -40.0)], dim=1)


class LogRatio(nn.Module):
    """log N(z; 0, [[1, ρ], [ρ, 1]]) − log N(z; 0, I): the logit of the optimal critic."""

    def __init__(self, rho: float) -> None:
        super().__init__()
        self.rho = rho

    def forward(self, z: Tensor) -> Tensor:
        (a, b), r = z.unbind(1), self.rho
        squares = r * r * (a.square() + b.square()) - 2 * r * a * b
        return -0.5 * math.log(1 - r * r) - squares / (2 * (1 - r * r))


def correlated(rho: float, *, critic_rho: float) -> dict[str, float]:
    """Parts of a model whose codes are a Gaussian of correlation ρ, with a hand-made critic."""
    model: Any = factor_vae(latent_dim=2)
    model.encoder, model.critic = FirstPixels(), LogRatio(critic_rho)
    e = normal(60_000, 16)
    e[:, 1] = rho * e[:, 0] + math.sqrt(1 - rho * rho) * e[:, 1]
    return {k: v.item() for k, v in model.evaluation_parts(Batch(e.view(-1, *SHAPE))).items()}


@pytest.mark.parametrize("rho", [0.0, 0.5, 0.8])
def test_with_the_optimal_critic_the_estimate_is_the_total_correlation(rho: float) -> None:
    parts = correlated(rho, critic_rho=rho)
    assert parts["total_correlation"] == pytest.approx(-0.5 * math.log(1 - rho**2), abs=0.02)
    reverse = -0.5 * math.log(1 - rho**2) - rho**2 / (1 - rho**2)  # −KL(∏ q(z_j) ‖ q(z))
    assert parts["permuted_logit"] == pytest.approx(reverse, abs=0.03)


def test_independent_codes_do_not_pass_for_correlated_ones() -> None:
    parts = correlated(0.0, critic_rho=0.8)
    assert parts["total_correlation"] == pytest.approx(parts["permuted_logit"], abs=0.05)
    assert parts["total_correlation"] < -1


def test_the_permuted_codes_are_another_draw_of_the_posterior() -> None:
    model, x = factor_vae(), images(20)
    seen: list[Tensor] = []
    model.critic.register_forward_hook(lambda _m, args, _o: seen.append(args[0]))
    batch = Batch(x)
    model.critic_terms(batch)
    joint, permuted = seen
    assert torch.equal(joint, model.outputs(batch).z)  # the codes that the VAE is trained on
    posterior = model.posterior(x)
    other = posterior.sample(model.noise(batch, 3, use=2))
    assert torch.equal(permuted.sort(0).values, other.sort(0).values)
    assert not torch.equal(permuted.sort(0).values, joint.sort(0).values)


def test_the_critics_loss_is_the_cross_entropy_of_both_kinds() -> None:
    model, batch = factor_vae(), Batch(images(6))
    last = model.critic.network.layers[-1]
    nn.init.zeros_(last.weight)
    nn.init.zeros_(last.bias)
    assert model.critic_terms(batch).total.item() == pytest.approx(math.log(2))
    nn.init.constant_(last.bias, 3.0)  # all is taken for q(z)
    expected = 0.5 * (math.log1p(math.exp(-3)) + math.log1p(math.exp(3)))
    assert model.critic_terms(batch).total.item() == pytest.approx(expected)


def test_the_critics_loss_is_less_if_codes_of_the_joint_have_the_higher_logit() -> None:
    """As the generator's term wants it: the logit is log q(z) − log ∏ q(z_j)."""
    losses = {}
    for rho in (0.8, -0.8):
        model: Any = factor_vae(latent_dim=2)
        model.encoder, model.critic = FirstPixels(), LogRatio(rho)
        pixels = normal(2000, 16)
        pixels[:, 1] = 0.8 * pixels[:, 0] + 0.6 * pixels[:, 1]
        losses[rho] = model.critic_terms(Batch(pixels.view(-1, *SHAPE))).total.item()
    assert losses[0.8] < math.log(2) < losses[-0.8]


def test_gamma_zero_is_the_vae_to_the_bit() -> None:
    model, plain, batch = factor_vae(gamma=0.0), vae(), Batch(images(5))
    for name in ("encoder", "decoder"):
        getattr(model, name).load_state_dict(getattr(plain, name).state_dict())
    terms = plain.loss_terms(batch)
    terms.total.backward()
    for name, grads in generator_gradients(model, batch, ["encoder", "decoder"]).items():
        expected = [p.grad for p in plain.networks()[name].parameters()]
        assert all(torch.equal(g, e) for g, e in zip(grads, expected, strict=True))
    assert torch.equal(model.generator_terms(batch).parts["elbo"], terms.parts["elbo"])
    weighted = factor_vae(gamma=5.0)
    weighted.load_state_dict(model.state_dict())
    encoders = [generator_gradients(m, batch, ["encoder"])["encoder"] for m in (model, weighted)]
    assert any(not torch.equal(a, b) for a, b in zip(*encoders, strict=True))


def test_gamma_weighs_the_estimate_alone() -> None:
    batch = Batch(images(5))
    terms = factor_vae(gamma=3.0).generator_terms(batch)
    expected = -terms.parts["elbo"] + 3.0 * terms.parts["total_correlation"]
    torch.testing.assert_close(terms.total, expected)


def test_the_estimate_is_of_the_sampled_codes() -> None:
    model, batch = factor_vae(), Batch(images(5))
    outputs, parts = model.outputs(batch), model.generator_terms(batch).parts
    assert torch.equal(parts["total_correlation"], model.critic(outputs.z).mean())
    assert not torch.isclose(parts["total_correlation"], model.critic(outputs.posterior.mu).mean())


def test_each_side_trains_its_own_networks() -> None:
    assert_sides_are_apart(factor_vae(), Batch(images(6)))
    assert_three_steps_train_all(factor_vae())


def test_what_a_likelihood_learns_is_trained_with_the_vae() -> None:
    model = factor_vae()
    assert model.likelihood in model.generator_side()["generator"]


def test_a_negative_gamma_is_refused() -> None:
    with pytest.raises(ValueError, match=r"gamma must be at least 0, got -1"):
        factor_vae(gamma=-1.0)
