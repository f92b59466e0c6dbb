"""VQ-VAE: its objective, who gets which gradient, when the codebook moves, and what it refuses."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch
from tiny import Batches, fit

from ganvas.losses.reconstruction import SquaredError
from ganvas.models.autoencoder.vq_vae import VQVAE
from ganvas.nn.vq import ResidualMapDecoder, ResidualMapEncoder
from ganvas.protocols import Samples
from ganvas.types import Batch

SHAPE = (1, 8, 8)


def images(num: int = 12, shape: tuple[int, ...] = SHAPE) -> torch.Tensor:
    return torch.rand(num, *shape, generator=torch.Generator().manual_seed(0))


def model(*, shape: tuple[int, int, int] = SHAPE, **values: Any) -> VQVAE:
    torch.manual_seed(0)
    given = {
        "num_train": 100,
        "num_codes": 10,
        "code_dim": 3,
        "commitment": 0.25,
        "decay": 0.9,
        "epsilon": 1e-5,
        "restart_threshold": 1.0,
    }
    layers = {"width": 6, "num_blocks": 1}
    return VQVAE(
        image_shape=shape,
        network={
            "map_encoder": partial(ResidualMapEncoder, **layers),
            "map_decoder": partial(ResidualMapDecoder, **layers),
        },
        loss=SquaredError(),
        optimizer=partial(torch.optim.Adam, lr=1e-2),
        **(given | values),
    )


@pytest.mark.parametrize("size", [(4, 4), (7, 9), (8, 8), (10, 13), (28, 28), (32, 30)], ids=str)
def test_maps_fit_any_size_of_at_least_four(size: tuple[int, int]) -> None:
    shape = (3, *size)
    made, x = model(shape=shape), images(2, shape)
    h, w = size[0] // 4, size[1] // 4
    assert made.latent_dim == 3 * h * w
    assert made.indices(x).shape == (2, h, w)
    assert made.encode(x).shape == (2, made.latent_dim)
    assert made.reconstruct(x).shape == x.shape
    with pytest.raises(ValueError, match="at least 4 pixels a side, got 3"):
        model(shape=(1, 3, 8))


def test_codes_are_vectors_of_the_codebook_and_decode_to_the_reconstruction() -> None:
    made, x = model().eval(), images()
    codes = made.encode(x).unflatten(1, made.code_shape)
    wanted = made.quantizer.codebook[made.indices(x)].permute(0, 3, 1, 2)
    assert torch.equal(codes, wanted)
    assert torch.equal(made.decode(made.encode(x)), made.reconstruct(x))
    assert not isinstance(made, Samples)


def test_the_objective_is_distance_plus_weighted_commitment() -> None:
    x = images()
    for commitment in (0.0, 0.25, 2.0):
        made = model(commitment=commitment).eval()
        terms = made.loss_terms(Batch(x))
        z, codes = made.encoder(x), made.encode(x).unflatten(1, made.code_shape)
        mse = (made.reconstruct(x) - x).square().sum() / len(x)
        distances = [(z[b, :, i, j] - codes[b, :, i, j]).square().sum()
                     for b in range(len(x)) for i in range(2) for j in range(2)]  # fmt: skip
        mean = torch.stack(distances).mean()
        torch.testing.assert_close(terms.parts["mse"], mse)
        torch.testing.assert_close(terms.parts["commitment"], mean)
        torch.testing.assert_close(terms.total, mse + commitment * mean)


def test_the_decoder_s_gradient_reaches_the_encoder_past_the_quantiser() -> None:
    made, x = model(commitment=0.0), images()
    z = made.encoder(x)
    indices = made.quantizer(z)
    (got,) = torch.autograd.grad(made._terms(x, z, indices).total, z)
    codes = made.quantizer.lookup(indices).clone().requires_grad_()
    loss = (made.decoder(codes).sigmoid() - x).square().sum() / len(x)
    (wanted,) = torch.autograd.grad(loss, codes)
    torch.testing.assert_close(got, wanted)
    assert wanted.abs().sum() > 0


def test_the_commitment_pulls_the_encoder_alone() -> None:
    x = images()
    without, with_it = model(commitment=0.0), model(commitment=1.0)
    for made in (without, with_it):
        made.loss_terms(Batch(x)).total.backward()
    for name in ("encoder", "decoder"):
        pairs = zip(*(getattr(m, name).parameters() for m in (without, with_it)), strict=True)
        same = [torch.equal(a.grad, b.grad) for a, b in pairs]
        assert all(same) if name == "decoder" else not any(same)


def test_perplexity_and_codes_used_are_those_of_the_batch() -> None:
    made, x = model().eval(), images()
    parts = made.loss_terms(Batch(x)).parts
    shares = torch.bincount(made.indices(x).flatten(), minlength=10) / (12 * 4)
    entropy = -sum(p * p.log() for p in shares if p > 0)
    torch.testing.assert_close(parts["perplexity"], torch.as_tensor(entropy).exp())
    assert parts["codes_used"] == (shares > 0).sum()


def state(made: VQVAE) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in made.state_dict().items()}


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor], prefix: str = "") -> bool:
    return all(torch.equal(one[k], other[k]) for k in one if k.startswith(prefix))


def test_the_codebook_moves_in_training_and_only_there() -> None:
    made, batch = model(), Batch(images())
    before = state(made)
    made.evaluation_parts(batch)
    made.training_parts(batch)
    made.eval()
    made.evaluation_parts(batch)
    made.encode(batch.x)
    assert same(before, state(made))
    made.train()
    made.training_step(batch, 0)
    assert not same(before, state(made), "quantizer")
    assert same(before, state(made), "encoder")


def test_training_twice_is_the_same_to_the_bit_whatever_the_global_seed() -> None:
    """Also after a cut in the middle: all state is in weights, buffers and the step."""
    x = images(24)
    loader = [Batch(x[i : i + 6], start=i) for i in range(0, 24, 6)]

    def trained(seed: int) -> dict[str, torch.Tensor]:
        made = model()
        torch.manual_seed(seed)
        fit(made, Batches(loader))
        return state(made)

    assert same(trained(1), trained(2))
    made = model()
    optimizer = made.configure_optimizers()
    for i, batch in enumerate(loader):
        if i == 2:
            cut, moments, step = state(made), optimizer.state_dict(), made.step
            made = model()
            made.load_state_dict(cut)
            optimizer = made.configure_optimizers()
            optimizer.load_state_dict(moments)
            made.counters["step"] = step
        optimizer.zero_grad()
        made.training_step(batch, i).backward()
        optimizer.step()
    assert same(trained(1), state(made))


def test_it_learns() -> None:
    torch.manual_seed(1)
    x = torch.nn.functional.interpolate(images(40, (1, 2, 2)).round(), scale_factor=4.0)
    made, batch = model(), Batch(x)
    before = made.eval().reconstruction_parts(batch)["reconstruction_mse"]
    fit(made.train(), Batches([batch] * 60))
    after = made.eval().reconstruction_parts(batch)["reconstruction_mse"]
    assert after < 0.3 * before
    assert made.loss_terms(batch).parts["perplexity"] > 1.5


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"commitment": -1.0}, "commitment must be at least 0, got -1.0"),
        (
            {"num_codes": 401},
            "num_codes must be at most 400, the vectors of all 100 training images, got 401; "
            "choose a smaller model.num_codes",
        ),
        ({"decay": 2.0}, r"decay must be in \[0, 1\), got 2.0"),
    ],
)
def test_values_out_of_range_are_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        model(**values)


def test_as_many_codes_as_vectors_are_allowed() -> None:
    assert len(model(num_codes=400).quantizer.codebook) == 400
