"""The decomposed rate: identities, exact aggregates, closed forms of a correlated Gaussian."""

from __future__ import annotations

import math
from itertools import combinations

import numpy as np
import pytest
import torch
from drawn_outputs import drawn_outputs, elbo_terms, normal
from torch import Tensor
from torch.distributions import Categorical, Independent, MixtureSameFamily, Normal

from ganvas.losses.elbo import VAEOutputs
from ganvas.losses.total_correlation import (
    TotalCorrelationLoss,
    pairwise_log_density,
    rate_parts,
    stratified_log_weights,
    weighted_log_weights,
)
from ganvas.types import GaussianPosterior

ESTIMATORS = ["minibatch_weighted", "minibatch_stratified"]
FLOAT64 = torch.zeros((), dtype=torch.float64)


def loss(
    estimator: str, *, alpha: float = 1.0, beta: float = 1.0, gamma: float = 1.0, n: int = 50
) -> TotalCorrelationLoss:
    return TotalCorrelationLoss(
        alpha=alpha, beta=beta, gamma=gamma, estimator=estimator, num_train=n
    )


def sampled_rate(outputs: VAEOutputs) -> Tensor:
    """log q(z|x) − log p(z) at the one code of each image, by torch."""
    q = outputs.posterior
    log_q = Normal(q.mu, (0.5 * q.log_var).exp()).log_prob(outputs.z).sum(1)
    return log_q - Normal(0.0, 1.0).log_prob(outputs.z).sum(1)


def aggregate(posterior: GaussianPosterior) -> tuple[MixtureSameFamily, list[MixtureSameFamily]]:
    """q(z) with equal shares of all images, and its marginals."""
    scale = (0.5 * posterior.log_var).exp()
    shares = Categorical(torch.ones(len(scale), dtype=torch.float64))
    joint = MixtureSameFamily(shares, Independent(Normal(posterior.mu, scale), 1))
    marginals = [
        MixtureSameFamily(shares, Normal(posterior.mu[:, d], scale[:, d]))
        for d in range(scale.shape[1])
    ]
    return joint, marginals


def test_pairs_are_a_triple_loop() -> None:
    outputs = drawn_outputs(4, 3)
    got, q = pairwise_log_density(outputs.z, outputs.posterior), outputs.posterior
    assert got.shape == (4, 4, 3)
    for i in range(4):
        for j in range(4):
            for d in range(3):
                density = Normal(q.mu[j, d], (0.5 * q.log_var[j, d]).exp())
                torch.testing.assert_close(got[i, j, d], density.log_prob(outputs.z[i, d]))


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_the_parts_add_up_to_the_sampled_rate_of_each_code(estimator: str) -> None:
    outputs = drawn_outputs(7, 4)
    weights = loss(estimator).log_weights(7, 50, like=outputs.z)
    parts = rate_parts(outputs.z, outputs.posterior, weights)
    total = parts.mutual_information + parts.total_correlation + parts.dimension_wise_kl
    torch.testing.assert_close(total, sampled_rate(outputs), rtol=1e-12, atol=1e-12)
    for part in (parts.mutual_information, parts.total_correlation, parts.dimension_wise_kl):
        assert part.shape == (7,)
        assert part.abs().max() > 0.01  # nothing is trivially 0


@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_weights_of_one_are_the_sampled_elbo(estimator: str, dtype: torch.dtype) -> None:
    outputs = drawn_outputs(dtype=dtype)
    got = loss(estimator)(outputs, step=0)
    expected = -outputs.log_likelihood.mean() + sampled_rate(outputs).mean()
    torch.testing.assert_close(got.total, expected, rtol=1e-6, atol=1e-6)
    plain = elbo_terms(outputs).parts
    assert all(torch.equal(got.parts[name], plain[name]) for name in plain if name != "beta")
    assert (loss(estimator, beta=6.0)(outputs, step=0).total - expected).abs() > 0.01


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_each_weight_is_the_slope_of_its_part(estimator: str) -> None:
    outputs = drawn_outputs()
    base = loss(estimator)(outputs, step=0)
    names = {
        "alpha": "mutual_information",
        "beta": "total_correlation",
        "gamma": "dimension_wise_kl",
    }
    for key, name in names.items():
        raised = loss(estimator, **{key: 3.5})(outputs, step=0).total
        torch.testing.assert_close(raised - base.total, 2.5 * base.parts[name])


def test_the_whole_data_set_gives_the_aggregate_exactly() -> None:
    outputs = drawn_outputs(9, 3)
    z = outputs.z
    joint, marginals = aggregate(outputs.posterior)
    log_q = joint.log_prob(z)
    log_marginals = sum(m.log_prob(z[:, d]) for d, m in enumerate(marginals))
    log_own = pairwise_log_density(z, outputs.posterior).sum(2).diagonal()
    got = rate_parts(z, outputs.posterior, stratified_log_weights(9, 9, like=z))
    torch.testing.assert_close(got.mutual_information, log_own - log_q)
    torch.testing.assert_close(got.total_correlation, log_q - log_marginals)
    part = rate_parts(z, outputs.posterior, stratified_log_weights(9, 20, like=z))
    assert (part.total_correlation - got.total_correlation).abs().max() > 0.01


def test_minibatch_weighted_is_its_formula() -> None:
    outputs = drawn_outputs(5, 2)
    num_train = 30
    got = rate_parts(
        outputs.z, outputs.posterior, weighted_log_weights(5, num_train, like=outputs.z)
    )
    pairs = pairwise_log_density(outputs.z, outputs.posterior).exp()
    for i in range(5):
        joint = sum(math.prod(pairs[i, j].tolist()) for j in range(5)) / (num_train * 5)
        marginals = [sum(pairs[i, j, d].item() for j in range(5)) / (num_train * 5) for d in (0, 1)]
        assert got.total_correlation[i].item() == pytest.approx(
            math.log(joint) - math.log(marginals[0]) - math.log(marginals[1])
        )


def test_its_constant_shifts_figures_and_no_gradient() -> None:
    gradients, values = [], []
    for num_train in (30, 3000):
        outputs = drawn_outputs(5, 4)
        mu = outputs.posterior.mu.requires_grad_()
        terms = loss("minibatch_weighted", beta=6.0, n=num_train)(outputs, step=0)
        gradients.append(torch.autograd.grad(terms.total, mu)[0])
        values.append(terms.parts["total_correlation"].item())
    torch.testing.assert_close(gradients[0], gradients[1])
    assert values[1] - values[0] == pytest.approx(3 * math.log(100))  # (Z − 1) · log of the ratio


@pytest.mark.parametrize(("batch", "num_train"), [(2, 2), (4, 4), (4, 100), (128, 54_000), (20, 5)])
def test_stratified_weights_of_a_row_sum_to_one(batch: int, num_train: int) -> None:
    weights = stratified_log_weights(batch, num_train, like=FLOAT64).exp()
    torch.testing.assert_close(weights.sum(1), torch.ones(batch, dtype=torch.float64))
    own = torch.full((batch,), 1 / num_train, dtype=torch.float64)
    torch.testing.assert_close(weights.diagonal(), own)
    assert torch.equal(weights, weights.T)


def test_stratified_weights_are_unbiased_over_all_batches() -> None:
    num_train, batch = 6, 3
    outputs = drawn_outputs(num_train, 2)
    density = pairwise_log_density(outputs.z, outputs.posterior).sum(2).exp()
    means = {}
    for weigh in (stratified_log_weights, weighted_log_weights):
        row = weigh(batch, num_train, like=FLOAT64).exp()[0]
        others = range(1, num_train)
        values = [row @ density[0, [0, *rest]] for rest in combinations(others, batch - 1)]
        means[weigh] = torch.stack(values).mean()
    torch.testing.assert_close(means[stratified_log_weights], density[0].mean())
    assert (means[weighted_log_weights] / density[0].mean() - 1).abs() > 0.1


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_the_order_of_the_batch_does_not_matter(estimator: str) -> None:
    outputs = drawn_outputs()
    order = torch.tensor([3, 1, 5, 0, 2, 4])
    posterior = GaussianPosterior(outputs.posterior.mu[order], outputs.posterior.log_var[order])
    weights = loss(estimator).log_weights(6, 50, like=outputs.z)
    plain = rate_parts(outputs.z, outputs.posterior, weights).total_correlation
    torch.testing.assert_close(
        rate_parts(outputs.z[order], posterior, weights).total_correlation, plain[order]
    )


def gauss_hermite(covariance: Tensor, num: int = 24) -> tuple[Tensor, Tensor]:
    """Nodes `(num², 2)` and weights of N(0, covariance) in two dimensions."""
    nodes, weights = (torch.from_numpy(a) for a in np.polynomial.hermite_e.hermegauss(num))
    weights = weights / weights.sum()
    values, vectors = torch.linalg.eigh(covariance)
    grid = torch.cartesian_prod(nodes, nodes) * values.sqrt()
    return grid @ vectors.T, torch.cartesian_prod(weights, weights).prod(1)


@pytest.mark.parametrize("correlation", [0.0, 0.4, -0.4])
@pytest.mark.parametrize("variances", [(1.0, 1.0), (0.8, 1.4)])
def test_a_correlated_gaussian_has_its_closed_form(
    correlation: float, variances: tuple[float, float]
) -> None:
    """Posteriors N(m, 0.5·I) with m ~ N(0, V − 0.5·I) have the aggregate N(0, V)."""
    off_diagonal = correlation * math.sqrt(variances[0] * variances[1])
    aggregate_cov = torch.tensor(
        [[variances[0], off_diagonal], [off_diagonal, variances[1]]], dtype=torch.float64
    )
    means, shares = gauss_hermite(aggregate_cov - 0.5 * torch.eye(2, dtype=torch.float64))
    codes, probabilities = gauss_hermite(aggregate_cov)
    posterior = GaussianPosterior(means, torch.full_like(means, math.log(0.5)))
    parts = rate_parts(codes, posterior, shares.log().expand(len(codes), -1))
    total_correlation = (probabilities * parts.total_correlation).sum().item()
    assert total_correlation == pytest.approx(-0.5 * math.log(1 - correlation**2), abs=1e-6)
    dimension_wise_kl = (probabilities * parts.dimension_wise_kl).sum().item()
    expected = sum(0.5 * (v - 1 - math.log(v)) for v in variances)
    assert dimension_wise_kl == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("correlation", [0.0, 0.6])
def test_sampled_codes_come_near_the_closed_form(correlation: float) -> None:
    """The whole of 1,500 sampled images; the tolerance is 4 standard errors."""
    num = 1500
    spread = torch.tensor([[0.7, correlation], [correlation, 0.7]], dtype=torch.float64)
    means = normal(num, 2, seed=0) @ torch.linalg.cholesky(spread).T
    posterior = GaussianPosterior(means, torch.full_like(means, math.log(0.3)))
    z = posterior.sample(normal(num, 2, seed=1))
    parts = rate_parts(z, posterior, stratified_log_weights(num, num, like=z))
    got, error = parts.total_correlation.mean().item(), parts.total_correlation.std() / num**0.5
    expected = -0.5 * math.log(1 - correlation**2)
    assert got == pytest.approx(expected, abs=max(4 * error.item(), 0.02))
    assert error < 0.03


@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize("batch", [1, 2])
def test_a_last_short_batch_stays_finite(estimator: str, batch: int) -> None:
    outputs = drawn_outputs(batch)
    mu = outputs.posterior.mu.requires_grad_()
    terms = loss(estimator, beta=6.0)(outputs, step=0)
    terms.total.backward()
    assert mu.grad is not None
    assert torch.isfinite(mu.grad).all()
    assert all(torch.isfinite(part) for part in terms.parts.values())


def test_far_and_tight_posteriors_stay_finite() -> None:
    mu = torch.tensor([[0.0, 0.0], [1e3, -1e3]], requires_grad=True)
    posterior = GaussianPosterior(mu, torch.full((2, 2), -12.0))
    parts = rate_parts(mu, posterior, stratified_log_weights(2, 60_000, like=mu))
    parts.total_correlation.sum().backward()
    assert torch.isfinite(parts.total_correlation).all()
    assert mu.grad is not None
    assert torch.isfinite(mu.grad).all()


def test_bad_values_are_refused() -> None:
    for key in ("alpha", "beta", "gamma"):
        with pytest.raises(ValueError, match=f"{key} must be at least 0, got -0.5; 0 leaves"):
            loss("minibatch_weighted", **{key: -0.5})
    with pytest.raises(ValueError, match=r"estimator must be one of minibatch_weighted, .*got mss"):
        loss("mss")
    with pytest.raises(ValueError, match="num_train must be at least 2, got 1"):
        loss("minibatch_weighted", n=1)
