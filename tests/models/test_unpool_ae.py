"""The unpooling autoencoder uses the places, and says that a code alone can't be decoded."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch

from ganvas.losses.reconstruction import SquaredError
from ganvas.models.autoencoder.unpool import UnpoolAutoencoder
from ganvas.nn.dense import DenseDecoder, DenseEncoder
from ganvas.nn.unpool import PoolEncoder, UnpoolDecoder
from ganvas.protocols import Decodes, Encodes, Reconstructs, Samples
from ganvas.types import Batch

SHAPE = (1, 7, 9)
LAYERS = {"channels": [3, 4]}


def model(**network: Any) -> UnpoolAutoencoder:
    torch.manual_seed(0)
    parts = {
        "encoder": partial(PoolEncoder, pooling="max", **LAYERS),
        "decoder": partial(UnpoolDecoder, pooling="max", **LAYERS),
    }
    return UnpoolAutoencoder(
        image_shape=SHAPE,
        latent_dim=4,
        network={**parts, **network},
        loss=SquaredError(),
        optimizer=partial(torch.optim.SGD, lr=0.1),
    )


def images(num: int = 5) -> torch.Tensor:
    return torch.rand(num, *SHAPE, generator=torch.Generator().manual_seed(0))


def test_it_encodes_and_reconstructs_but_decodes_nothing() -> None:
    made = model()
    assert isinstance(made, Encodes)
    assert isinstance(made, Reconstructs)
    assert not isinstance(made, Decodes | Samples)


def test_training_and_reconstruction_use_the_places() -> None:
    made, x = model(), images()
    code, indices = made.encoder.code_and_indices(x)
    with_places = made.decoder(code, indices).sigmoid()
    assert torch.equal(made.reconstruct(x), with_places)
    assert not torch.equal(made.reconstruct(x), made.decoder(code).sigmoid())
    terms = made.loss_terms(Batch(x))
    torch.testing.assert_close(terms.total, (with_places - x).square().sum() / len(x))
    assert torch.equal(made.encode(x), code)


def test_one_forward_call_of_each_network_is_trained() -> None:
    """Only forward is compiled, so that is what training must call."""
    made, calls = model(), []
    for name, network in made.networks().items():
        network.register_forward_hook(lambda *_, name=name: calls.append(name))
    made.loss_terms(Batch(images()))
    assert calls == ["encoder", "decoder"]


def test_networks_without_places_are_refused() -> None:
    dense = {
        "encoder": partial(DenseEncoder, hidden=[8]),
        "decoder": partial(DenseDecoder, hidden=[8]),
    }
    for parts in (dense, {"decoder": dense["decoder"]}, {"encoder": dense["encoder"]}):
        with pytest.raises(ValueError, match=r"network must remember .* choose network=unpool"):
            model(**parts)


def test_two_kinds_of_pooling_are_refused() -> None:
    with pytest.raises(ValueError, match=r"network\.decoder\.pooling must be the encoder's, max"):
        model(decoder=partial(UnpoolDecoder, pooling="average", **LAYERS))


def test_channels_that_do_not_mirror_are_refused() -> None:
    made = model(decoder=partial(UnpoolDecoder, pooling="max", channels=[5, 4]))
    with pytest.raises(ValueError, match="give encoder and decoder the same channels"):
        made.loss_terms(Batch(images()))
