"""Densities over codes against closed forms, and what they are fitted to."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.mixture import GaussianMixture
from torch import Tensor
from torch.distributions import Categorical, MixtureSameFamily, MultivariateNormal

from evaluation.subjects import CLASSES, image_data, random_images, subject
from ganvas.errors import GanvasWarning
from ganvas.evaluation import mixture as module
from ganvas.evaluation.mixture import FLOOR, Mixture, fit_gaussian, fit_mixture
from ganvas.evaluation.priors import (
    GaussianPrior,
    MixturePrior,
    NormalPrior,
    OwnPrior,
    encodings,
)
from ganvas.losses.elbo import ElboLoss
from ganvas.losses.reconstruction import SquaredError
from ganvas.models.autoencoder.ae import Autoencoder
from ganvas.models.autoencoder.pca import PCA
from ganvas.models.autoencoder.unpool import UnpoolAutoencoder
from ganvas.models.autoencoder.vq_vae import VQVAE
from ganvas.models.gan.gan import GAN
from ganvas.models.hybrid.ae_gan import AEGAN
from ganvas.models.vae.conditional import ConditionalVAE
from ganvas.models.vae.vae import VAE
from ganvas.nn.dense import DenseDecoder, DenseEncoder
from ganvas.nn.likelihoods import BernoulliLikelihood
from models.tiny import SHAPE, gan, sgd, vae

NETWORK = {
    "encoder": partial(DenseEncoder, hidden=[8]),
    "decoder": partial(DenseDecoder, hidden=[8]),
}
FULL = {"covariance": "full"}


def normal(num: int, width: int, *, seed: int = 0) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).standard_normal((num, width)))


def slanted(num: int = 400, *, seed: int = 0) -> Tensor:
    """Codes with correlations and unequal variances, far from the origin."""
    mix = torch.tensor([[2.0, 0, 0], [1.5, 0.5, 0], [-1, 0.2, 0.1]], dtype=torch.float64)
    return normal(num, 3, seed=seed) @ mix.T + torch.tensor([5.0, -20, 300])


def two_clusters() -> Tensor:
    """700 codes at (5, 0) with σ = 0.5, 300 at (−5, 0) with σ = 0.1, shuffled."""
    left = 0.1 * normal(300, 2, seed=1) - torch.tensor([5.0, 0])
    right = 0.5 * normal(700, 2, seed=2) + torch.tensor([5.0, 0])
    return torch.cat([left, right])[torch.from_numpy(np.random.default_rng(3).permutation(1000))]


def covariances(fit: Mixture) -> Tensor:
    return fit.roots @ fit.roots.mT


@pytest.mark.parametrize("covariance", ["full", "diag"])
def test_a_gaussian_has_the_moments_of_its_codes(covariance: Any) -> None:
    codes = slanted()
    fit = fit_gaussian(codes, covariance=covariance)
    expected = np.cov(codes.numpy().T, bias=True)
    expected += FLOOR * np.trace(expected) / 3 * np.eye(3)
    torch.testing.assert_close(fit.means[0], codes.mean(0))
    if covariance == "full":
        torch.testing.assert_close(covariances(fit)[0], torch.from_numpy(expected))
    else:
        torch.testing.assert_close(fit.roots[0], torch.from_numpy(np.sqrt(expected.diagonal())))


def test_two_clusters_are_found() -> None:
    fit = fit_mixture(two_clusters(), components=2, covariance="full", seed=0)
    left, right = fit.means[:, 0].argsort().tolist()
    assert fit.weights[left].item() == pytest.approx(0.3, abs=1e-6)
    exact = {"atol": 0.06, "rtol": 0.0}  # three standard errors of the right cluster's mean
    torch.testing.assert_close(fit.means[left], torch.tensor([-5.0, 0]).double(), **exact)
    torch.testing.assert_close(fit.means[right], torch.tensor([5.0, 0]).double(), **exact)
    for k, sigma in ((left, 0.1), (right, 0.5)):
        variances = covariances(fit)[k].diagonal()
        torch.testing.assert_close(
            variances, torch.full((2,), sigma**2).double(), rtol=0.25, atol=0
        )


@pytest.mark.parametrize("covariance", ["full", "diag"])
def test_a_mixture_of_one_is_the_gaussian(covariance: Any) -> None:
    codes = slanted()
    one = fit_mixture(codes, components=1, covariance=covariance, seed=0)
    other = fit_gaussian(codes, covariance=covariance)
    for name, part in one.tensors.items():
        torch.testing.assert_close(part, other.tensors[name], msg=name)


@pytest.mark.parametrize("factor", [1e-3, 1e4])
def test_the_unit_of_codes_is_of_no_account(factor: float) -> None:
    """So the floor of variances is no share of small codes' variance."""
    codes = two_clusters()
    fit, scaled = (
        fit_mixture(c, components=3, covariance="full", seed=1) for c in (codes, factor * codes)
    )
    torch.testing.assert_close(scaled.means, factor * fit.means)
    torch.testing.assert_close(scaled.roots, factor * fit.roots)
    torch.testing.assert_close(scaled.codes(9, seed=1), factor * fit.codes(9, seed=1))


def test_the_density_is_that_of_torch_and_of_scikit_learn() -> None:
    codes, points = two_clusters(), slanted(50)[:, :2] / 4
    fit = fit_mixture(codes, components=3, covariance="full", seed=0)
    parts = MultivariateNormal(fit.means, scale_tril=fit.roots)
    expected = MixtureSameFamily(Categorical(fit.weights), parts).log_prob(points)
    torch.testing.assert_close(fit.log_prob(points), expected)
    diagonal = fit_mixture(codes, components=3, covariance="diag", seed=0)
    theirs = GaussianMixture(3, covariance_type="diag")
    theirs.weights_, theirs.means_ = diagonal.weights.numpy(), diagonal.means.numpy()
    theirs.precisions_cholesky_ = 1 / diagonal.roots.numpy()
    expected = torch.from_numpy(theirs.score_samples(points.numpy()))
    torch.testing.assert_close(diagonal.log_prob(points), expected)


@pytest.mark.parametrize("covariance", ["full", "diag"])
def test_drawn_codes_have_the_moments_of_the_mixture(covariance: Any) -> None:
    fit = fit_mixture(two_clusters(), components=2, covariance=covariance, seed=0)
    drawn, num = fit.codes(20000, seed=5).double(), 20000
    is_left = drawn[:, 0] < 0
    left, right = fit.means[:, 0].argsort().tolist()
    error = (fit.weights[left] * fit.weights[right] / num).sqrt().item()
    assert is_left.double().mean().item() == pytest.approx(fit.weights[left].item(), abs=4 * error)
    for k, mine in ((left, drawn[is_left]), (right, drawn[~is_left])):
        root = fit.roots[k] if covariance == "full" else fit.roots[k].diag()
        white = torch.linalg.solve(root, (mine - fit.means[k]).T).T
        bound = 5 / len(mine) ** 0.5
        assert white.mean(0).abs().max() < bound
        moments = white.T @ white / len(white)
        assert (moments - torch.eye(2)).abs().max() < 2**0.5 * bound


def test_a_code_is_a_function_of_seed_and_index() -> None:
    fit = fit_mixture(two_clusters(), components=4, covariance="full", seed=0)
    whole = fit.codes(700, seed=3)
    assert whole.dtype == torch.float32
    for num in (1, 7, 256, 257, 513):
        assert torch.equal(fit.codes(num, seed=3), whole[:num])
    assert not torch.equal(fit.codes(5, seed=4), whole[:5])
    assert len(whole.unique(dim=0)) == 700  # no block repeats another


def test_a_weightless_component_is_never_drawn_nor_one_past_the_last() -> None:
    """Weights whose sum rounding leaves below 1 would point past the last component."""
    means = torch.tensor([[0.0], [1.0], [2.0]], dtype=torch.float64)
    weights = torch.tensor([0.5, 0.0, 0.3], dtype=torch.float64)
    fit = Mixture(weights, means, torch.zeros(3, 1, dtype=torch.float64))
    drawn = fit.codes(1000, seed=0).flatten()
    assert set(drawn.tolist()) == {0.0, 2.0}
    assert not torch.equal(drawn[:256], drawn[256:512])  # nor do blocks choose alike


def test_nothing_touches_global_random_state() -> None:
    np.random.seed(5)  # noqa: NPY002
    before, expected = torch.get_rng_state(), np.random.random()  # noqa: NPY002
    np.random.seed(5)  # noqa: NPY002
    fit_mixture(two_clusters(), components=3, covariance="full", seed=0).codes(5, seed=0)
    assert torch.equal(torch.get_rng_state(), before)
    assert np.random.random() == expected  # noqa: NPY002


def test_codes_in_a_subspace_and_codes_that_never_change() -> None:
    """As of units that died: the density stays in place, and nothing fails."""
    codes = torch.cat([slanted(), torch.full((400, 1), 7.0)], dim=1)
    codes = torch.cat([codes, codes[:, :1] + codes[:, 1:2]], dim=1)
    for fit in (fit_gaussian(codes, **FULL), fit_mixture(codes, components=3, seed=0, **FULL)):
        drawn = fit.codes(200, seed=0)
        assert (drawn[:, 3] - 7).abs().max() < 0.02
        assert (drawn[:, 4] - drawn[:, 0] - drawn[:, 1]).abs().max() < 0.05
        assert fit.log_prob(codes).isfinite().all()


def test_a_fit_that_is_not_over_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_STEPS", 1)
    with pytest.warns(GanvasWarning, match="mixture of 5 has not converged in 1 steps of EM"):
        fit_mixture(slanted(), components=5, covariance="full", seed=0)


def test_what_can_not_be_fitted() -> None:
    fit = partial(fit_mixture, components=3, covariance="full", seed=0)
    with pytest.raises(ValueError, match="codes must be finite, got NaN"):
        fit(torch.tensor([[0.0], [float("nan")], [1.0]]))
    with pytest.raises(ValueError, match="at least 3 codes, got 2"):
        fit(torch.tensor([[0.0], [1.0]]))
    with pytest.raises(ValueError, match="codes must differ"):
        fit(torch.ones(9, 2))
    with pytest.raises(ValueError, match=r"at least 2 codes, got 1"):
        fit_gaussian(torch.ones(1, 2), covariance="full")


def test_very_wide_codes_need_diagonal_covariances() -> None:
    wide = normal(12, 700)
    assert GaussianPrior(covariance="full", seed=0).fit(wide).roots.shape == (1, 700, 700)
    with pytest.raises(ValueError, match=r"700 × 700, .* for 10; set prior.covariance=diag"):
        MixturePrior(components=10, covariance="full", seed=0).fit(wide)
    diagonal = MixturePrior(components=10, covariance="diag", seed=0).fit(wide)
    assert diagonal.codes(3, seed=0).shape == (3, 700)


def test_tensors_that_are_no_mixture() -> None:
    fit = fit_gaussian(slanted(), covariance="full")
    assert Mixture.from_tensors(fit.tensors) == fit
    broken: dict[str, Tensor] = {
        "weights": torch.ones(2, dtype=torch.float64),
        "means": torch.zeros(3, dtype=torch.float64),
        "roots": torch.ones(1, 2, 2, dtype=torch.float64),
    }
    for name, tensor in broken.items():
        assert Mixture.from_tensors({**fit.tensors, name: tensor}) is None
    assert Mixture.from_tensors({**fit.tensors, "means": fit.means * torch.inf}) is None
    assert Mixture.from_tensors({**fit.tensors, "means": fit.means.float()}) is None
    assert Mixture.from_tensors({"means": fit.means}) is None


def autoencoder() -> Autoencoder:
    torch.manual_seed(1)
    made = Autoencoder(
        image_shape=SHAPE, latent_dim=3, network=NETWORK, loss=SquaredError(), optimizer=sgd
    )
    return made.eval()


def test_the_codes_are_of_all_training_images_as_they_are() -> None:
    """50 of 60 images, in batches of 4 with augmentation, as training sees them."""
    model, data = autoencoder(), image_data(augment={"flip": True})
    pixels = torch.from_numpy(random_images(60, seed=1)).float() / 255
    codes = model.encode(pixels).detach()
    found = encodings(model, data, seed=0)
    assert found.shape == (50, 3)
    distances = torch.cdist(found, codes, compute_mode="donot_use_mm_for_euclid_dist")
    torch.testing.assert_close(distances.min(1).values, torch.zeros(50), atol=1e-5, rtol=0)
    assert distances.argmin(1).diff().gt(0).all()
    assert torch.equal(encodings(model, data, seed=1), found)


def test_of_a_posterior_one_sample_for_each_image() -> None:
    model, data = vae().eval(), image_data()
    images = torch.cat([batch.x for batch in subject(model, data, split="train").batches()])
    posterior = model.posterior(images)
    noise = (encodings(model, data, seed=0) - posterior.mu) / (0.5 * posterior.log_var).exp()
    assert 0.8 < noise.std().item() < 1.2
    assert len(noise.flatten().unique()) == noise.numel()
    model.seed = 9
    assert torch.equal(encodings(model, data, seed=0), encodings(model, data, seed=0))
    assert not torch.equal(encodings(model, data, seed=0), encodings(model, data, seed=1))


def test_of_a_conditional_model_with_its_labels() -> None:
    torch.manual_seed(1)
    model = ConditionalVAE(
        image_shape=SHAPE,
        num_classes=CLASSES,
        latent_dim=2,
        network=NETWORK,
        likelihood=BernoulliLikelihood(),
        loss=ElboLoss(beta=1.0, reconstruction_weight=1.0),
        optimizer=sgd,
    ).eval()
    model.label_plane.weight.data *= 500
    data = image_data()
    (batch,) = subject(model, data, split="train").batches()
    codes, other = (model.posterior(batch.x, y) for y in (batch.y, (batch.y + 1) % CLASSES))  # type: ignore[operator]
    z = encodings(model, data, seed=0)
    assert codes.log_prob(z).mean() > other.log_prob(z).mean() + 1


@pytest.mark.parametrize("model", [Autoencoder, PCA, VAE, ConditionalVAE, VQVAE, AEGAN])
def test_what_encodes_and_decodes_can_be_fitted(model: Any) -> None:
    assert GaussianPrior(covariance="full", seed=0).unfit(model) is None
    assert NormalPrior().unfit(model) is None


def test_what_can_not_be_sampled_so() -> None:
    gmm, own = MixturePrior(components=2, covariance="full", seed=0), OwnPrior()
    assert "has no encoder" in str(gmm.unfit(GAN))
    assert "makes no image of a code alone" in str(gmm.unfit(UnpoolAutoencoder))
    assert "makes no image of a code alone" in str(NormalPrior().unfit(UnpoolAutoencoder))
    assert own.unfit(Autoencoder) == "draws no samples"
    assert own.unfit(VAE) is own.unfit(GAN) is NormalPrior().unfit(GAN) is None


def test_normal_codes_are_those_of_a_model_whose_prior_it_is() -> None:
    for model in (vae(), gan()):
        codes = NormalPrior().codes(model, 6, seed=2)
        assert torch.equal(codes, model.prior_codes(6, seed=2))
    assert NormalPrior().codes(autoencoder(), 6, seed=2).shape == (6, 3)
    with pytest.raises(ValueError, match="Linear must have latent_dim"):
        NormalPrior().codes(torch.nn.Linear(2, 2), 1, seed=0)


def test_names_tell_what_is_not_as_usual() -> None:
    assert MixturePrior(components=10, covariance="full", seed=0).name == "gmm-10"
    assert MixturePrior(components=3, covariance="diag", seed=2).name == "gmm-3-diag-seed2"
    assert GaussianPrior(covariance="full", seed=0).name == "gaussian"


@pytest.mark.parametrize("batch_size", [3, 256])
@pytest.mark.parametrize("model", [autoencoder, vae])
def test_samples_of_a_subject_are_of_the_given_codes(model: Any, batch_size: int) -> None:
    made, data = model(), image_data()
    fit = fit_gaussian(encodings(made.eval(), data, seed=0), covariance="full")
    one = subject(made, data, batch_size=batch_size)
    one._prior = partial(fit.codes, seed=4)
    images = torch.cat([batch.x for batch in one.samples(20)])
    expected = one.seen(made.decode(fit.codes(20, seed=4)).detach())
    assert images.shape == expected.shape
    assert (images.int() - expected.int()).abs().max() <= 1  # a rounding of the last bit
