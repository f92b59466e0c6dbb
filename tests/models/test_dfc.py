"""DFC-VAE: the perceptual term against a hand computation, and features that stay as they are."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch
from torch import nn

from ganvas.losses.elbo import ElboLoss
from ganvas.models.vae.dfc import DFCVAE
from ganvas.nn.classifier import ConvClassifier
from ganvas.nn.dense import DenseDecoder, DenseEncoder
from ganvas.nn.frozen import Frozen
from ganvas.nn.likelihoods import BernoulliLikelihood
from ganvas.types import Batch
from models.tiny import SHAPE, batches, equal, fit, images, sgd, vae, weights


def dfc(
    *,
    weight: float = 10.0,
    pixels: float = 0.0,
    network: nn.Module | None = None,
    layers: Any = ("relu1", "relu4"),
) -> DFCVAE:
    torch.manual_seed(7)
    features = network or ConvClassifier(image_shape=SHAPE, num_classes=3)
    torch.manual_seed(1)
    return DFCVAE(
        image_shape=SHAPE,
        latent_dim=3,
        network={
            "encoder": partial(DenseEncoder, hidden=[8]),
            "decoder": partial(DenseDecoder, hidden=[8]),
        },
        likelihood=BernoulliLikelihood(),
        loss=ElboLoss(beta=1.0, reconstruction_weight=pixels),
        optimizer=sgd,
        features=Frozen(features),
        layers=layers,
        perceptual_weight=weight,
    )


def test_perceptual_term_is_zero_for_equal_images_only() -> None:
    model, x = dfc(), images(4)
    assert torch.equal(model.perceptual(x, x), torch.zeros(4))
    assert (model.perceptual(x, 1 - x) > 0).all()


def test_perceptual_term_by_hand() -> None:
    """Two layers of one convolution with weight 2 on 1×4×4: 2·x, then its ReLU after −1."""

    class Doubled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.twice = nn.Conv2d(1, 1, 1, bias=False)
            nn.init.constant_(self.twice.weight, 2.0)
            self.sum = nn.Flatten()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.sum(self.twice(x)).sum(1, keepdim=True)

    model = dfc(network=Doubled(), layers=["twice", "sum_1"])
    x, image = images(3), images(6)[3:]
    expected = []
    for one, other in zip(x, image, strict=True):
        first = sum(
            (2 * one[0, i, j] - 2 * other[0, i, j]) ** 2 for i in range(4) for j in range(4)
        ) / (2 * 1 * 4 * 4)
        second = (2 * one.sum() - 2 * other.sum()) ** 2 / 2
        expected.append(first + second)
    torch.testing.assert_close(model.perceptual(x, image), torch.stack(expected))


def test_the_image_that_is_judged_is_decoded_from_the_sampled_code() -> None:
    model, batch = dfc(), Batch(images(5))
    z = model.posterior(batch.x).sample(model.noise(batch, 3))
    expected = model.perceptual(batch.x, model.decode(z)).mean()
    torch.testing.assert_close(model.loss_terms(batch).parts["perceptual"], expected)
    of_means = model.perceptual(batch.x, model.reconstruct(batch.x)).mean()
    assert not torch.isclose(of_means, expected, rtol=1e-3)


@pytest.mark.parametrize("pixels", [0.0, 1.0])
def test_the_objective_is_the_loss_and_the_weighted_term(pixels: float) -> None:
    model = dfc(weight=10.0, pixels=pixels)
    terms = model.loss_terms(Batch(images(5)))
    parts = terms.parts
    expected = pixels * parts["distortion"] + parts["rate"] + 10 * parts["perceptual"]
    torch.testing.assert_close(terms.total, expected)
    assert torch.equal(parts["elbo"], -parts["distortion"] - parts["rate"])
    assert parts["perceptual"] > 0


def test_weight_zero_with_pixels_is_the_vae_to_the_bit() -> None:
    batch = Batch(images(5))
    expected = vae().loss_terms(batch).total
    assert torch.equal(dfc(weight=0.0, pixels=1.0).loss_terms(batch).total, expected)
    assert not torch.equal(dfc(weight=1.0, pixels=1.0).loss_terms(batch).total, expected)


def test_features_pass_gradients_on_and_take_none() -> None:
    model = dfc()
    model.train()
    model.loss_terms(Batch(images(5))).total.backward()
    assert all(p.grad is None for p in model.features.parameters())
    assert all((p.grad != 0).any() for p in model.decoder.parameters())
    only_rate = dfc(weight=0.0)
    only_rate.loss_terms(Batch(images(5))).total.backward()
    assert all((p.grad == 0).all() for p in only_rate.decoder.parameters())


def test_training_moves_the_networks_and_not_the_features() -> None:
    model = dfc()
    features, decoder = weights(model.features), weights(model.decoder)
    assert set(model.networks()) == {"encoder", "decoder"}
    fit(model, batches(num=3, size=4))
    assert equal(weights(model.features), features)
    assert not equal(weights(model.decoder), decoder)
    model.train()
    assert not any(module.training for module in model.features.modules())


def test_a_perceptual_term_alone_makes_images_alike() -> None:
    model, batch = dfc(weight=1000.0), Batch(images(8))
    before = model.loss_terms(batch).parts["perceptual"].detach()
    optimizer = torch.optim.Adam([*model.encoder.parameters(), *model.decoder.parameters()], 0.01)
    for _ in range(60):
        optimizer.zero_grad()
        model.loss_terms(batch).total.backward()
        optimizer.step()
    assert model.loss_terms(batch).parts["perceptual"] < before / 2


def test_a_negative_weight_and_unknown_layers_are_refused() -> None:
    with pytest.raises(ValueError, match="perceptual_weight must be at least 0, got -1"):
        dfc(weight=-1)
    with pytest.raises(ValueError, match="layers must name layers of ConvClassifier, got relu7"):
        dfc(layers=["relu7"])
