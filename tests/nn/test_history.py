"""Old fakes come back, about half of the time, and batches keep their size."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from ganvas.nn.history import ImageHistory

SHAPE = (1, 2, 2)


def numbered(first: int, num: int) -> Tensor:
    """Images whose pixels are their number."""
    return torch.arange(first, first + num).float()[:, None, None, None].expand(num, *SHAPE)


def numbers(images: Tensor) -> list[int]:
    assert all((image == image.flatten()[0]).all() for image in images)
    return [int(image.flatten()[0]) for image in images]


def draws(num: int, *, seed: int = 0) -> Tensor:
    return torch.rand(num, 2, generator=torch.Generator().manual_seed(seed))


def test_it_fills_and_shows_what_it_keeps() -> None:
    history = ImageHistory(image_shape=SHAPE, size=6)
    for first in (1, 5):
        shown = history.exchanged(numbered(first, 4), torch.tensor([[0.9, 0.0]] * 4))
        assert numbers(shown) == list(range(first, first + 4))
    assert numbers(history.images) == [1, 2, 3, 4, 5, 6]
    assert history.count == 6


def test_exchanges_against_a_loop_over_a_list() -> None:
    history, store, first = ImageHistory(image_shape=SHAPE, size=5), [], 0
    for turn in range(20):
        table, fakes = draws(3, seed=turn), numbered(first, 3)
        shown = numbers(history.exchanged(fakes, table))
        expected = []
        for fake, (chance, place) in zip(range(first, first + 3), table.tolist(), strict=True):
            if len(store) < 5:
                store.append(fake)
                expected.append(fake)
            elif chance < 0.5:
                expected.append(store[int(place * 5)])
                store[int(place * 5)] = fake
            else:
                expected.append(fake)
        assert shown == expected
        assert numbers(history.images[: len(store)]) == store
        first += 3
    assert max(store) > 40


def test_one_place_may_be_exchanged_twice_in_a_batch() -> None:
    history = ImageHistory(image_shape=SHAPE, size=2)
    history.exchanged(numbered(1, 2), draws(2))
    shown = history.exchanged(numbered(3, 3), torch.tensor([[0.0, 0.9], [0.0, 0.9], [0.9, 0.0]]))
    assert numbers(shown) == [2, 3, 5]
    assert numbers(history.images) == [1, 4]


def test_about_half_of_a_batch_is_old_and_every_place_is_used() -> None:
    history = ImageHistory(image_shape=SHAPE, size=50)
    history.exchanged(numbered(0, 50), draws(50))
    shown = history.exchanged(numbered(1000, 400), draws(400, seed=3))
    assert shown.shape == (400, *SHAPE)
    old = [number for number in numbers(shown) if number < 1000]
    fresh = [n for i, n in enumerate(numbers(shown)) if n == 1000 + i]
    assert len(fresh) == pytest.approx(200, abs=30)
    assert len(old) == len(set(old)) >= 40  # an image leaves only once
    assert sorted(old + [n for n in numbers(history.images) if n < 1000]) == list(range(50))


def test_fakes_are_not_changed_and_nothing_is_shared() -> None:
    history = ImageHistory(image_shape=SHAPE, size=4)
    fakes = numbered(1, 4).clone()
    history.exchanged(fakes, draws(4))
    later = numbered(5, 4).clone()
    shown = history.exchanged(later, torch.tensor([[0.0, 0.3]] * 4))
    assert numbers(later) == [5, 6, 7, 8]
    shown.fill_(-1)
    assert min(numbers(history.images)) > 0


def test_it_is_in_the_checkpoint() -> None:
    one, other = (ImageHistory(image_shape=SHAPE, size=4) for _ in range(2))
    one.exchanged(numbered(1, 3), draws(3))
    other.load_state_dict(one.state_dict())
    for first in (4, 7, 10):
        table = draws(3, seed=first)
        shown = [h.exchanged(numbered(first, 3), table) for h in (one, other)]
        assert torch.equal(*shown)
    assert torch.equal(one.images, other.images)


def test_a_draw_just_below_one_is_the_last_place() -> None:
    history = ImageHistory(image_shape=SHAPE, size=3)
    history.exchanged(numbered(1, 3), draws(3))
    shown = history.exchanged(numbered(4, 1), torch.tensor([[0.0, 1 - 2**-24]]))
    assert numbers(shown) == [3]


def test_size_0_is_off_and_less_is_refused() -> None:
    fakes = numbered(1, 3)
    assert ImageHistory(image_shape=SHAPE, size=0).exchanged(fakes, draws(3)) is fakes
    with pytest.raises(ValueError, match=r"^replay must be at least 0 images, got -1"):
        ImageHistory(image_shape=SHAPE, size=-1)
