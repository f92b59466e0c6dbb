"""WAE: an autoencoder without its MMD, drawn to the prior with it, and a source of images."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from tiny import SHAPE, batches, equal, fit, sgd, weights

from ganvas.losses.mmd import RBFKernel, mmd
from ganvas.losses.reconstruction import AbsoluteError, ReconstructionLoss, SquaredError
from ganvas.models.autoencoder.ae import Autoencoder
from ganvas.models.autoencoder.wae import WAE
from ganvas.nn.dense import DenseDecoder, DenseEncoder
from ganvas.protocols import Decodes, Encodes, HasPosterior, Reconstructs, Samples
from ganvas.types import Batch

KERNEL = RBFKernel(bandwidth=1.0)


def parts(loss: ReconstructionLoss | None = None) -> dict[str, object]:
    torch.manual_seed(1)
    return {
        "image_shape": SHAPE,
        "latent_dim": 3,
        "network": {
            "encoder": partial(DenseEncoder, hidden=[8]),
            "decoder": partial(DenseDecoder, hidden=[8]),
        },
        "loss": loss or SquaredError(),
        "optimizer": sgd,
    }


def wae(mmd_weight: float, *, loss: ReconstructionLoss | None = None) -> WAE:
    return WAE(mmd_weight=mmd_weight, kernel=KERNEL, **parts(loss))


def batch() -> Batch:
    return batches(num=1, size=32).batches[0]


def test_without_the_mmd_it_trains_as_the_autoencoder_to_the_bit() -> None:
    plain, free, drawn = Autoencoder(**parts()), wae(0.0), wae(5.0)
    for model in (plain, free, drawn):
        fit(model, batches(num=3, size=8))
    assert equal(weights(free), weights(plain))
    assert not equal(weights(drawn), weights(plain))


@pytest.mark.parametrize("loss", [SquaredError(), AbsoluteError()], ids=lambda loss: loss.name)
def test_its_terms_are_the_distance_and_the_mmd(loss: ReconstructionLoss) -> None:
    model, given = wae(5.0, loss=loss), batch()
    terms = model.loss_terms(given)
    distance = mmd(model.encode(given.x), model.noise(given, 3), KERNEL)
    torch.testing.assert_close(terms.parts["mmd"], distance)
    torch.testing.assert_close(terms.total, terms.parts[loss.name] + 5.0 * distance)


def test_each_step_has_its_own_draw_of_the_prior() -> None:
    model, given = wae(1.0), batch()
    first = model.loss_terms(given).parts["mmd"]
    assert torch.equal(model.loss_terms(given).parts["mmd"], first)
    model.advance(given, {})
    assert not torch.equal(model.loss_terms(given).parts["mmd"], first)


def test_the_mmd_draws_the_codes_to_the_prior() -> None:
    """From codes around 2: its biased value against one large draw, trained with and without."""
    given = batch()
    prior = torch.randn(256, 3, generator=torch.Generator().manual_seed(0))
    after = []
    for weight in (0.0, 100.0):
        model = wae(weight)
        model.encoder.layers[-1].bias.data.fill_(2.0)
        adam = torch.optim.Adam(model.parameters(), lr=0.02)
        for _ in range(100):
            adam.zero_grad()
            terms = model.loss_terms(given)
            terms.total.backward()
            adam.step()
            model.advance(given, terms.parts)
        after.append(mmd(model.encode(given.x), prior, KERNEL, unbiased=False).item())
    assert after[1] < 0.5 * after[0]


def test_it_samples_from_the_standard_normal() -> None:
    model = wae(1.0).eval()
    assert all(isinstance(model, p) for p in (Encodes, Decodes, Reconstructs, Samples))
    assert not isinstance(model, HasPosterior)
    codes = model.prior_codes(5000, seed=2)
    assert codes.shape == (5000, 3)
    torch.testing.assert_close(codes.mean(0), torch.zeros(3), rtol=0, atol=0.06)
    torch.testing.assert_close(codes.var(0), torch.ones(3), rtol=0, atol=0.1)
    assert torch.equal(model.sample(4, seed=2), model.decode(model.prior_codes(4, seed=2)))
    noise = torch.zeros(2, 3)
    assert torch.equal(model.sample(2, noise=noise), model.decode(noise))


def test_bad_values_are_refused() -> None:
    with pytest.raises(ValueError, match="mmd_weight must be at least 0, got -1"):
        wae(-1)
    with pytest.raises(ValueError, match="kernel must name a kernel"):
        WAE(mmd_weight=1.0, kernel="imq", **parts())
