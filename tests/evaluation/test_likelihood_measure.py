"""The measure of likelihood: exact where log p(x) is known; priors, labels, bits; no cut counts."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from torch.distributions import Categorical, Independent, MixtureSameFamily, Normal

from evaluation.bounds import (
    ELBO,
    conditional,
    every_batch,
    found,
    gaussian,
    sums,
    tiny,
    value,
    vamp,
)
from evaluation.subjects import image_data, subject
from ganvas.evaluation import likelihood as module
from ganvas.evaluation import order
from ganvas.evaluation import subject as subject_module
from ganvas.evaluation.likelihood import LikelihoodMeasure
from ganvas.evaluation.losses import LossMeasure
from ganvas.losses.elbo import ElboLoss
from ganvas.losses.iwae import importance_weighted_bound
from ganvas.models.autoencoder.ae import Autoencoder
from ganvas.models.autoencoder.vq_vae import VQVAE
from ganvas.models.autoencoder.wae import WAE
from ganvas.models.gan.gan import GAN
from ganvas.models.hybrid.factor_vae import FactorVAE
from ganvas.models.hybrid.vae_gan import VAEGAN
from ganvas.models.vae.conditional import ConditionalVAE
from ganvas.models.vae.dfc import DFCVAE
from ganvas.models.vae.iwae import IWAE
from ganvas.models.vae.vae import VAE
from ganvas.models.vae.vamp import VampVAE
from ganvas.types import Batch, Finding, GaussianPosterior
from models.linear_gaussian import WIDTH, build, images, log_evidence
from models.tiny import SHAPE


def exact(cls: type = VAE, *, error: float) -> Any:
    """A linear-Gaussian model in float64, its encoder wrong by `error`."""
    own = {"num_samples": 1, "gradient": "standard"} if cls is IWAE else {"loss": ElboLoss(**ELBO)}
    return build(cls, encoder_error=error, **own).eval().requires_grad_(False)


# Where log p(x) is known


@pytest.mark.parametrize("codes", [1, 7, 130])
def test_with_the_true_posterior_each_bound_is_the_likelihood(codes: int) -> None:
    model, x = exact(error=0.0), images(20)
    got, expected = sums(model, Batch(x), codes), log_evidence(model, x)
    torch.testing.assert_close(got.bound, expected, rtol=0, atol=1e-6)
    torch.testing.assert_close(-got.distortion - got.rate, expected, rtol=0, atol=1e-6)
    torch.testing.assert_close(got.effective, torch.full_like(expected, codes))


@pytest.mark.parametrize("error", [0.3, -0.4])
def test_with_a_wrong_encoder_the_bound_climbs_from_the_elbo_to_the_likelihood(
    error: float,
) -> None:
    model, x = exact(error=error), images(2000)
    results = {codes: sums(model, Batch(x), codes) for codes in (1, 10, 100)}
    elbo = -(results[100].distortion + results[100].rate).mean().item()
    means = [s.bound.mean().item() for s in results.values()]
    steps = [elbo, *means[1:], log_evidence(model, x).mean().item()]
    assert means[0] == pytest.approx(elbo, abs=0.05)
    assert all(later - earlier > 1e-4 for earlier, later in pairwise(steps)), steps
    assert steps[-1] - steps[-2] < 0.1 * (steps[-1] - elbo)
    assert 1 < results[100].effective.min() < results[100].effective.max() < 100


@pytest.mark.parametrize("codes", [1, 50, 130])
def test_the_bound_is_that_of_one_logsumexp_over_all_codes(codes: int) -> None:
    """Against the training code of IWAE, with the same noise."""
    model, batch = exact(IWAE, error=0.3), Batch(images(6), start=512)
    noise = [model.noise(batch, module.CODES, WIDTH, use=module.CODES_USE + i) for i in range(3)]
    posterior = model.posterior(batch.x)
    _, log_weights = model.log_weights(batch.x, posterior, torch.cat(noise, 1)[:, :codes])
    expected = importance_weighted_bound(log_weights)
    got = sums(model, batch, codes)
    torch.testing.assert_close(got.bound, expected, rtol=0, atol=1e-10)
    torch.testing.assert_close(-got.distortion - got.rate, log_weights.mean(1), rtol=0, atol=1e-10)


def test_narrow_posteriors_lose_no_digits() -> None:
    """σ = e⁻⁸ about a mean of 30, in float32: z itself has three digits of the noise."""
    model, batch = tiny(), Batch(torch.zeros(4, *SHAPE))
    model.posterior = lambda x: GaussianPosterior(  # type: ignore[method-assign]
        torch.full((len(x), 3), 30.0), torch.full((len(x), 3), -16.0)
    )
    noise = model.eval().noise(batch, module.CODES, 3, use=module.CODES_USE).double()
    z = 30 + math.exp(-8) * noise
    log_ratio = 0.5 * (z.square() - noise.square()).sum(2) + 3 * 8
    torch.testing.assert_close(sums(model, batch, 50).rate, log_ratio.mean(1), rtol=0, atol=1e-5)


# No cut matters


@pytest.mark.parametrize("at_once", [1, 40, 1000])
def test_how_many_codes_are_decoded_at_once_does_not_matter(
    monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    model, batch = exact(error=0.3), Batch(images(6))
    whole = sums(model, batch, 60).bound
    monkeypatch.setattr(module, "VALUES_AT_ONCE", at_once)
    torch.testing.assert_close(sums(model, batch, 60).bound, whole, rtol=0, atol=1e-12)


def same(one: dict[str, Finding], other: dict[str, Finding]) -> None:
    assert one.keys() == other.keys()
    for name, finding in one.items():
        assert other[name].value == pytest.approx(finding.value, rel=1e-5), name
        assert other[name].uncertainty == pytest.approx(finding.uncertainty, rel=1e-4), name
        assert other[name].protocol == finding.protocol


@pytest.mark.parametrize("make", [gaussian, vamp, conditional])
def test_neither_batches_nor_ranks_matter(monkeypatch: pytest.MonkeyPatch, make: Any) -> None:
    monkeypatch.setattr(subject_module, "BLOCK", 8)
    model, whole, parts = make(), found(make(), num_images=21), []

    def gathered(mine: Any, *, world_size: int) -> Any:
        parts.extend(mine)
        return order.in_order(parts)

    same(whole, found(model, num_images=21, batch_size=3))
    monkeypatch.setattr(subject_module, "in_order", gathered)
    both = [found(model, num_images=21, batch_size=5, rank=r, world_size=2) for r in range(2)]
    assert sorted(start for start, _ in parts) == [0, 5, 8, 13, 16]
    same(whole, both[1])


# What is measured


def test_findings_are_means_with_their_standard_errors() -> None:
    model = tiny()
    got, per_image = found(model, codes=70), sums(model, every_batch(model), 70)
    for name, values in {
        "log_likelihood_bound": per_image.bound,
        "mean_distortion": per_image.distortion,
        "effective_samples": per_image.effective,
    }.items():
        assert value(got, name) == pytest.approx(values.mean().item(), abs=1e-10)
        error = np.std(values.numpy(), ddof=1) / math.sqrt(40)
        assert got[name].uncertainty == pytest.approx(error, abs=1e-10)
    assert value(got, "mean_elbo") == pytest.approx(
        -value(got, "mean_distortion") - value(got, "mean_rate"), abs=1e-10
    )
    assert value(got, "mean_elbo") < value(got)
    assert found(model, num_images=1)["mean_elbo"].uncertainty is None


@pytest.mark.parametrize("make", [tiny, vamp, conditional])
def test_one_code_gives_the_losses_under_the_same_noise(
    monkeypatch: pytest.MonkeyPatch, make: Any
) -> None:
    monkeypatch.setattr(module, "CODES", 1)
    monkeypatch.setattr(module, "CODES_USE", 0)
    model = make()
    got, losses = found(model, codes=1), LossMeasure().measure(subject(model))
    for name in ("elbo", "distortion", "rate"):
        assert value(got, f"mean_{name}") == pytest.approx(losses[name].value, rel=1e-6), name


def test_many_codes_give_nearly_the_losses_and_none_of_their_noise() -> None:
    model = tiny()
    got, losses = found(model, codes=200), LossMeasure().measure(subject(model))
    assert value(got, "mean_elbo") != losses["elbo"].value
    assert value(got, "mean_elbo") == pytest.approx(losses["elbo"].value, abs=1)
    assert value(got, "mean_rate") == pytest.approx(losses["rate"].value, rel=1e-6)


def test_the_first_images_only() -> None:
    model = tiny()
    got = found(model, num_images=13)
    first = Batch(every_batch(model).x[:13], total=13)
    expected = sums(model, first, 20).bound.mean().item()
    assert value(got) == pytest.approx(expected, abs=1e-5)
    protocol = got["mean_elbo"].protocol
    assert protocol["num_images"] == 13
    assert protocol["codes_drawn_together"] == 50
    assert protocol["images"] == image_data().content("test", num=13)
    everything = found(model, num_images=1000)["mean_elbo"].protocol
    assert everything["num_images"] == 40


def test_the_learned_prior_is_used() -> None:
    model = vamp()
    batch = every_batch(model)
    with torch.no_grad():
        q = model.posterior(batch.x)
        z = q.sample(model.noise(batch, module.CODES, 3, use=module.CODES_USE)[:, 0])
        components = model.components()
        normal = Independent(Normal(components.mu, (components.log_var / 2).exp()), 1)
        prior = MixtureSameFamily(Categorical(torch.ones(5)), normal)
        torch.testing.assert_close(model.prior_log_prob(z), prior.log_prob(z))
        torch.testing.assert_close(model.prior_density()(z).float(), prior.log_prob(z))
        rate = (q.log_prob(z) - prior.log_prob(z)).mean().item()
    got = found(model, codes=1)
    assert value(got, "mean_rate") == pytest.approx(rate, rel=1e-5)
    assert value(got) == pytest.approx(value(got, "mean_elbo"), abs=1e-9)


def test_narrow_components_lose_no_digits() -> None:
    model = vamp()
    q = GaussianPosterior(torch.linspace(-3, 3, 15).view(5, 3), torch.full((5, 3), -16.0))
    model.components = lambda: q  # type: ignore[method-assign]
    z = q.mu.double() + 1e-4
    each = GaussianPosterior(q.mu.double(), q.log_var.double()).log_prob(z[:, None])
    expected = each.logsumexp(1) - math.log(5)
    torch.testing.assert_close(model.prior_density()(z), expected, rtol=1e-9, atol=0)


def test_labels_are_given() -> None:
    model = conditional()
    batch = every_batch(model)
    with torch.no_grad():
        q = model.posterior(batch.x, batch.y)
        z = q.sample(model.noise(batch, module.CODES, 3, use=module.CODES_USE)[:, 0])
        outputs = model.decoder(model._with_class(z, batch.y))
        distortion = -model.likelihood.log_prob(batch.x, outputs).mean().item()
    got = found(model, codes=1)
    assert value(got, "mean_distortion") == pytest.approx(distortion, rel=1e-6)
    assert {f.protocol["given"] for f in got.values()} == {"class"}
    assert {f.protocol["given"] for f in found(tiny()).values()} == {"nothing"}


# Refusals


def test_models_without_the_three_densities_are_unfit() -> None:
    measure, data = LikelihoodMeasure(num_samples=1, num_images=None), image_data()
    for cls in (VAE, ConditionalVAE, VampVAE, IWAE, DFCVAE, FactorVAE, VAEGAN):
        assert measure.unfit(cls, data) is None
    for cls in (Autoencoder, VQVAE, WAE, GAN):
        assert (
            measure.unfit(cls, data) == "has no p(x|z), p(z) and q(z|x) to bound a likelihood with"
        )


@pytest.mark.parametrize(("samples", "num"), [(0, None), (5, 0)])
def test_no_codes_and_no_images_are_refused(samples: int, num: int | None) -> None:
    with pytest.raises(ValueError, match="must be at least 1, got 0"):
        LikelihoodMeasure(num_samples=samples, num_images=num)
