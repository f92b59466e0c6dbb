"""The conditional VAE: labels reach encoder and decoder, and grids show classes in columns."""

from __future__ import annotations

from functools import partial
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from callbacks.recorders import Kept
from ganvas import pictures
from ganvas.callbacks.images import ImageGrids
from ganvas.losses.elbo import ElboLoss
from ganvas.models.vae.conditional import ConditionalVAE
from ganvas.models.vae.vae import VAE
from ganvas.nn.conv import ConvDecoder, ConvEncoder
from ganvas.nn.dense import DenseDecoder, DenseEncoder
from ganvas.nn.likelihoods import BernoulliLikelihood
from ganvas.protocols import Conditional, Decodes, Encodes, Reconstructs, Samples
from ganvas.types import Batch
from models.tiny import SHAPE, Batches, images, sgd, vae

DENSE: Any = {
    "encoder": partial(DenseEncoder, hidden=[8]),
    "decoder": partial(DenseDecoder, hidden=[8]),
}
CONV: Any = {
    "encoder": partial(ConvEncoder, channels=[4, 4]),
    "decoder": partial(ConvDecoder, channels=[4, 4]),
}


def conditional(num_classes: int | None = 3, *, network: Any = DENSE) -> ConditionalVAE:
    """The same weights each time."""
    torch.manual_seed(1)
    return ConditionalVAE(
        image_shape=SHAPE,
        num_classes=num_classes,
        latent_dim=2,
        network=network,
        likelihood=BernoulliLikelihood(),
        loss=ElboLoss(beta=1.0, reconstruction_weight=1.0),
        optimizer=sgd,
    )


def labels(*values: int) -> Tensor:
    return torch.tensor(values)


def test_it_keeps_the_promises_of_a_conditional_model() -> None:
    for protocol in (Conditional, Encodes, Decodes, Reconstructs, Samples):
        assert isinstance(conditional(), protocol)
    assert not isinstance(vae(), Conditional)


@pytest.mark.parametrize(
    ("network", "num_inputs"), [(DENSE, 2 * 16), (CONV, 2)], ids=["dense", "conv"]
)
def test_any_network_is_asked_for_one_more_plane_and_for_the_classes(
    network: Any, num_inputs: int
) -> None:
    model = conditional(network=network)
    assert next(model.encoder.parameters()).shape[1] == num_inputs
    assert next(model.decoder.parameters()).shape[1] == 2 + 3
    assert model.reconstruct(images(3), labels(0, 1, 2)).shape == (3, *SHAPE)


def test_the_label_counts_in_encoder_and_decoder() -> None:
    model, x = conditional(), images(1)
    codes = [model.encode(x, labels(k)) for k in range(3)]
    assert not torch.equal(codes[0], codes[1])
    made = [model.decode(codes[0], labels(k)) for k in range(3)]
    assert not torch.equal(made[0], made[1])
    label = 3**0.5 * torch.eye(3)[1:2]  # mean square 1
    expected = model.likelihood.mean(model.decoder(torch.cat([codes[0], label], 1)))
    assert torch.equal(made[1], expected)


def test_each_image_has_its_own_label() -> None:
    model, x, y = conditional(), images(4), labels(2, 0, 1, 2)
    whole = model.reconstruct(x, y)
    for i in range(4):
        torch.testing.assert_close(model.reconstruct(x[i : i + 1], y[i : i + 1]), whole[i : i + 1])


def test_the_objective_sees_the_labels_and_trains_every_part() -> None:
    model, x = conditional(), images(4)
    terms = [model.loss_terms(Batch(x, labels(*y))) for y in ((0, 1, 2, 0), (1, 1, 2, 0))]
    assert terms[0].total != terms[1].total
    terms[0].total.backward()
    for name, network in model.networks().items():
        assert all(p.grad.abs().max() > 0 for p in network.parameters()), name


def test_where_labels_change_nothing_it_is_a_vae() -> None:
    model, x = conditional(), images(6)
    with torch.no_grad():
        model.label_plane.weight.zero_()
        model.decoder.layers[0].weight[:, 2:] = 0
    plain = VAE(
        image_shape=SHAPE,
        latent_dim=2,
        network=DENSE,
        likelihood=BernoulliLikelihood(),
        loss=ElboLoss(beta=1.0, reconstruction_weight=1.0),
        optimizer=sgd,
    )
    state = {k: v for k, v in model.state_dict().items() if k != "label_plane.weight"}
    state["encoder.layers.0.weight"] = state["encoder.layers.0.weight"][:, :16]
    state["decoder.layers.0.weight"] = state["decoder.layers.0.weight"][:, :2]
    plain.load_state_dict(state)
    got = model.loss_terms(Batch(x, labels(0, 1, 2, 0, 1, 2))).parts
    for name, value in plain.loss_terms(Batch(x)).parts.items():
        torch.testing.assert_close(got[name], value)


def test_samples_go_through_the_classes_or_are_of_those_asked_for() -> None:
    model = conditional()
    codes = model.prior_codes(7, seed=5)
    cycle = labels(0, 1, 2, 0, 1, 2, 0)
    assert torch.equal(model.class_labels(7), cycle)
    assert torch.equal(model.sample(7, seed=5), model.decode(codes, cycle))
    twos = torch.full((7,), 2)
    assert torch.equal(model.sample(7, seed=5, y=twos), model.decode(codes, twos))
    assert not torch.equal(model.sample(7, seed=5, y=twos), model.sample(7, seed=5))


def test_missing_labels_are_refused() -> None:
    model, x = conditional(), images(2)
    for call in (
        lambda: model.encode(x),
        lambda: model.decode(torch.zeros(2, 2)),
        lambda: model.loss_terms(Batch(x)),
    ):
        with pytest.raises(ValueError, match=r"y must be integer labels \(B,\), got None"):
            call()


@pytest.mark.parametrize("num_classes", [None, 0])
def test_unlabelled_data_are_refused(num_classes: int | None) -> None:
    with pytest.raises(ValueError, match=f"got {num_classes}: the data have no labels; choose a"):
        conditional(num_classes)


@pytest.mark.parametrize(
    ("num", "num_classes", "columns"),
    [(64, 10, 10), (64, 2, 8), (64, 3, 9), (64, 8, 8), (64, 20, 20), (10, 10, 8), (64, 100, 8)],
)
def test_columns_of_a_grid_are_classes(num: int, num_classes: int, columns: int) -> None:
    got = pictures.columns_of_classes(num, num_classes=num_classes, near=8)
    assert got == columns
    assert got % num_classes == 0 or num <= num_classes


def test_pictures_in_training_have_a_class_in_each_column() -> None:
    kept, model, y = Kept(), conditional(), labels(*[0, 1, 2] * 4)
    callback = ImageGrids(num=20)
    callback.recorder = kept
    loader = Batches([Batch(images(12), y)])
    trainer: Any = SimpleNamespace(is_global_zero=True, val_dataloaders=loader)
    callback.show(trainer, model)
    with torch.no_grad():
        expected = pictures.grid(model.sample(20, seed=0), columns=9)
        shown = pictures.pairs(images(12)[:10], model.reconstruct(images(12)[:10], y[:10]))
    assert np.array_equal(kept.pictures["samples", 0], expected)
    assert np.array_equal(kept.pictures["reconstructions", 0], pictures.grid(shown))
