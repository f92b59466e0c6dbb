"""Noise is a function of its key alone."""

from __future__ import annotations

import pytest
import torch

from ganvas.nn.noise import ROWS, keyed_generator, keyed_normal, keyed_rows


def normal(*key: int, shape: tuple[int, ...] = (64, 5)) -> torch.Tensor:
    return keyed_normal(shape, *key, device="cpu")


def test_the_same_key_gives_the_same_noise_whatever_was_drawn_between() -> None:
    first = normal(7, 0, 3)
    normal(7, 0, 4)
    torch.randn(100)
    assert torch.equal(normal(7, 0, 3), first)


def test_every_part_of_the_key_matters() -> None:
    keys = [(7, 0, 3), (8, 0, 3), (7, 1, 3), (7, 0, 4), (0, 7, 3), (3, 0, 7), (7, 0), (7, 0, 3, 0)]
    draws = [normal(*key) for key in keys]
    for i, one in enumerate(draws):
        for other in draws[i + 1 :]:
            assert (one != other).double().mean() > 0.99


def test_neighbouring_steps_are_uncorrelated() -> None:
    draws = torch.stack([normal(0, 0, step, shape=(2000,)) for step in range(8)])
    off_diagonal = torch.corrcoef(draws) - torch.eye(8)
    assert off_diagonal.abs().max() < 5 / 2000**0.5


def test_it_is_standard_normal() -> None:
    draw = normal(1, 2, shape=(100_000,)).double()
    moments = torch.stack([draw.mean(), draw.var(), draw.pow(3).mean(), draw.pow(4).mean()])
    torch.testing.assert_close(
        moments, torch.tensor([0.0, 1.0, 0.0, 3.0], dtype=torch.double), rtol=0, atol=0.16
    )
    assert abs(moments[0]) < 5 / 100_000**0.5


def test_the_global_generator_is_not_touched() -> None:
    torch.manual_seed(3)
    expected = torch.randn(4)
    torch.manual_seed(3)
    normal(1, 2, 3)
    assert torch.equal(torch.randn(4), expected)


def test_the_global_seed_does_not_matter() -> None:
    torch.manual_seed(1)
    first = normal(5)
    torch.manual_seed(2)
    assert torch.equal(normal(5), first)


def test_keys_of_any_size_and_sign_are_valid_seeds() -> None:
    for key in (0, -1, 2**32 - 1, 2**63 - 1, -(2**63)):
        assert torch.isfinite(torch.randn(3, generator=keyed_generator("cpu", key))).all()


def test_nothing_is_drawn_on_the_meta_device() -> None:
    noise = keyed_normal((2, 3), 1, device="meta")
    assert noise.shape == (2, 3)
    assert noise.is_meta


@pytest.mark.parametrize("width", [1, 2, 3, 10, 64])
def test_a_row_does_not_depend_on_how_many_there_are(width: int) -> None:
    many = keyed_rows(3 * ROWS + 5, width, 0, 2, device="cpu")
    assert many.shape == (3 * ROWS + 5, width)
    for num in (0, 1, 7, 100, ROWS - 1, ROWS, ROWS + 1, 3 * ROWS):
        assert torch.equal(keyed_rows(num, width, 0, 2, device="cpu"), many[:num]), num
    assert len(many.unique(dim=0)) == len(many)
    assert keyed_rows(7, width, 0, 2, device="meta").shape == (7, width)


def test_rows_are_the_noise_of_the_key() -> None:
    rows = keyed_rows(2 * ROWS, 10, 0, 2, device="cpu")
    assert torch.equal(rows, keyed_normal((2 * ROWS, 10), 0, 2, device="cpu"))
