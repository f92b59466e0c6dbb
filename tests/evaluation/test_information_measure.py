"""Information of codes: equal to formulas written out, and told to the models it fits."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from evaluation.subjects import image_data, subject
from ganvas.evaluation.information import InformationMeasure
from ganvas.evaluation.losses import LossMeasure
from ganvas.losses.total_correlation import TotalCorrelationLoss, rate_parts
from ganvas.models.autoencoder.ae import Autoencoder
from ganvas.models.autoencoder.vq_vae import VQVAE
from ganvas.models.hybrid.factor_vae import FactorVAE
from ganvas.models.hybrid.vae_gan import VAEGAN
from ganvas.models.vae.iwae import IWAE
from ganvas.models.vae.vae import VAE
from ganvas.models.vae.vamp import VampVAE
from ganvas.types import Finding, GaussianPosterior
from models.test_conditional import conditional
from models.test_vamp import vamp
from models.tiny import vae

PARTS = ("mutual_information", "total_correlation", "dimension_wise_kl")


def found(model: Any, *, num_images: int | None = None, **options: Any) -> dict[str, Finding]:
    measure = InformationMeasure(num_images=num_images, active_threshold=0.01)
    return dict(measure.measure(subject(model, **options)))


def lively(model: Any) -> Any:
    """With an encoder that tells images apart."""
    with torch.no_grad():
        for weight in model.encoder.parameters():
            weight.mul_(3)
    return model


@torch.no_grad()
def encoded(model: Any) -> tuple[GaussianPosterior, Tensor]:
    """Of the 40 test images at once."""
    batch = next(iter(subject(model).batches()))
    q = model.posterior(batch.x)
    return GaussianPosterior(q.mu.double(), q.log_var.double()), model.noise(batch, 3).double()


def test_values_are_those_of_the_formulas() -> None:
    model = lively(vae())
    values = found(model)
    q, noise = encoded(model)
    every_pair = torch.full((40, 40), -math.log(40), dtype=torch.float64)
    parts = rate_parts(q.sample(noise), q, every_pair)
    for name in PARTS:
        part = getattr(parts, name)
        found_part = values[f"aggregate_{name}"]
        assert found_part.value == pytest.approx(part.mean().item(), abs=1e-10)
        error = part.std().item() / math.sqrt(40)
        assert found_part.uncertainty == pytest.approx(error, abs=1e-10)
    both = parts.total_correlation + parts.dimension_wise_kl
    assert values["aggregate_kl"].value == pytest.approx(both.mean().item(), abs=1e-10)
    assert values["aggregate_mutual_information_cap"].value == math.log(40)
    active = (np.var(q.mu.numpy(), axis=0) > 0.01).sum()
    assert values["active_units"].value == active > 0


def test_kl_of_all_dimensions_is_the_rate() -> None:
    model = lively(vae())
    values = found(model)
    q, _ = encoded(model)
    normal = torch.distributions.Normal(q.mu, (q.log_var / 2).exp())
    prior = torch.distributions.Normal(torch.zeros_like(q.mu), torch.ones_like(q.mu))
    exact = torch.distributions.kl_divergence(normal, prior)
    for d in range(3):
        kl = values[f"kl_{d:02d}"]
        assert kl.value == pytest.approx(exact[:, d].mean().item(), rel=1e-10)
        assert kl.uncertainty == pytest.approx(exact[:, d].std().item() / math.sqrt(40), rel=1e-10)
    rate = LossMeasure().measure(subject(model))["rate"].value
    assert sum(values[f"kl_{d:02d}"].value for d in range(3)) == pytest.approx(rate, rel=1e-6)
    # and so do the parts, but for the noise of one code per image
    total = sum(values[f"aggregate_{name}"].value for name in PARTS)
    q, noise = encoded(model)
    z = q.sample(noise)
    sampled = q.log_prob(z) + 0.5 * (math.log(2 * math.pi) + z.square()).sum(1)
    assert total == pytest.approx(sampled.mean().item(), abs=1e-10)
    error = (sampled - exact.sum(1)).std().item() / math.sqrt(40)
    assert 0 < abs(total - rate) < 4 * error


def test_codes_of_which_the_answer_is_known() -> None:
    blind = vae()
    blind.posterior = lambda x: GaussianPosterior(  # type: ignore[method-assign]
        torch.zeros(len(x), 2), torch.zeros(len(x), 2)
    )
    values = found(blind)
    parts = [f"aggregate_{name}" for name in (*PARTS, "kl")]
    names = ("active_units", "kl_00", "kl_01", *parts)
    assert all(values[name].value == pytest.approx(0, abs=1e-12) for name in names)

    exact = vae()
    exact.posterior = lambda x: GaussianPosterior(  # type: ignore[method-assign]
        x.flatten(1) * 1000, torch.full((len(x), 16), -8.0)
    )
    values = found(exact, num_images=30)
    assert values["aggregate_mutual_information"].value == pytest.approx(math.log(30), abs=1e-10)
    assert values["aggregate_mutual_information_cap"].value == math.log(30)
    assert values["active_units"].value == 16


def test_nothing_depends_on_the_batch_size() -> None:
    model = lively(vae())
    whole, cut = found(model), found(model, batch_size=7)
    assert whole.keys() == cut.keys()
    for name, finding in whole.items():
        assert cut[name].value == pytest.approx(finding.value, rel=1e-5), name
        assert cut[name].protocol == finding.protocol


def test_the_first_images_alone_make_the_aggregate() -> None:
    """Active units and KL per dimension are of the whole split, and say so by their protocol."""
    model, data = lively(vae()), image_data()
    whole, part = found(model, data=data), found(model, data=data, num_images=25)
    for name in ("active_units", "kl_00", "kl_01", "kl_02"):
        assert part[name] == whole[name]
    assert part["aggregate_mutual_information"].value != whole["aggregate_mutual_information"].value
    protocol = part["aggregate_mutual_information"].protocol
    assert protocol["num_images"] == 25
    assert protocol["images"] == data.content("test", num=25)
    assert part["active_units"].protocol == {"active_threshold": 0.01}
    assert found(model, data=data, num_images=1000) == whole


def test_a_prior_of_its_own_takes_the_normal_ones_place() -> None:
    model = lively(vamp()).float()
    values = found(model)
    assert values.keys() == {
        "active_units",
        "aggregate_mutual_information",
        "aggregate_total_correlation",
        "aggregate_kl",
        "aggregate_mutual_information_cap",
    }
    q, noise = encoded(model)
    z = q.sample(noise)
    with torch.no_grad():
        sampled = q.log_prob(z) - model.prior_log_prob(z.float())
    rate = values["aggregate_mutual_information"].value + values["aggregate_kl"].value
    assert rate == pytest.approx(sampled.mean().item(), abs=1e-4)
    assert rate == pytest.approx(LossMeasure().measure(subject(model))["rate"].value, abs=1e-4)
    assert 0 < values["aggregate_mutual_information"].value <= math.log(40)


def test_a_conditional_model_is_given_labels() -> None:
    model = lively(conditional())
    batch = next(iter(subject(model).batches()))
    with torch.no_grad():
        exact = model.posterior(batch.x, batch.y).mu.square().mean(0)
        wrong = model.posterior(batch.x, (batch.y + 1) % 3).mu.square().mean(0)
    assert not torch.allclose(exact, wrong)
    values = found(model)
    rate = LossMeasure().measure(subject(model))["rate"].value
    kl = sum(v.value for name, v in values.items() if name.startswith("kl_"))
    assert kl == pytest.approx(rate, rel=1e-6)


def test_no_name_is_that_of_a_loss() -> None:
    model = vae()
    model.loss = TotalCorrelationLoss(
        alpha=1.0, beta=6.0, gamma=1.0, estimator="minibatch_stratified", num_train=50
    )
    losses = LossMeasure().measure(subject(model))
    assert set(PARTS) <= losses.keys()
    assert losses.keys().isdisjoint(found(model))


@pytest.mark.parametrize("width", [64, 65])
def test_wide_codes_have_no_value_for_each_dimension(width: int) -> None:
    values = found(vae(latent_dim=width))
    assert sum(name.startswith("kl_") for name in values) == (64 if width == 64 else 0)
    assert "kl_63" in values or width == 65


@pytest.mark.parametrize("model", [VAE, VampVAE, IWAE, FactorVAE, VAEGAN])
def test_models_with_a_posterior_fit(model: type[VAE]) -> None:
    measure = InformationMeasure(num_images=None, active_threshold=0.01)
    assert measure.unfit(model, image_data()) is None


@pytest.mark.parametrize("model", [Autoencoder, VQVAE])
def test_models_without_one_do_not(model: type[torch.nn.Module]) -> None:
    measure = InformationMeasure(num_images=None, active_threshold=0.01)
    assert measure.unfit(model, image_data()) == "has no posterior q(z|x)"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_images": 1}, "num_images must be at least 2, got 1"),
        ({"active_threshold": -1.0}, "active_threshold is a variance, at least 0, got -1"),
    ],
)
def test_bad_options_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        InformationMeasure(**{"num_images": None, "active_threshold": 0.01, **options})
