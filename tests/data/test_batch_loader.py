"""Order, resuming, ranks, conversion and augmentation of batches."""

from __future__ import annotations

import pytest
import torch
from data_helpers import Numbered, numbered
from torch import Tensor

from ganvas.data import BatchLoader
from ganvas.data.augment import Augment, augment_batch
from ganvas.data.loader import to_float
from ganvas.types import Batch

RANGE = (0.0, 255.0)


def indices(batches: list[Batch]) -> list[int]:
    return [int(value) for batch in batches for value in batch.x[:, 0, 0, 0]]


def test_conversion_is_that_of_the_formulas() -> None:
    every = torch.arange(256, dtype=torch.uint8).reshape(1, 1, 16, 16)
    assert torch.equal(to_float(every, value_range=(0.0, 1.0)), every.float() / 255)
    assert torch.equal(to_float(every, value_range=(-1.0, 1.0)), every.float() / 127.5 - 1)
    wide = to_float(every, value_range=(-2.0, 4.0))
    torch.testing.assert_close(wide, every.float() * 6 / 255 - 2)
    assert wide.dtype == torch.float32


def test_batches_have_types_labels_and_positions() -> None:
    batches = list(numbered().loader("train", value_range=RANGE, seed=0))
    assert [batch.start for batch in batches] == [0, 4, 8, 12, 16]
    assert {batch.offset for batch in batches} == {0}
    for batch in batches:
        assert batch.x.shape == (4, 1, 4, 4)
        assert batch.y is not None
        assert batch.y.dtype == torch.int64
        assert torch.equal(batch.y, batch.x[:, 0, 0, 0].long() % 10)


def test_unlabelled_batches_have_no_y() -> None:
    class Unlabelled(Numbered):
        def read(self, split):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
            return super().read(split)[0], None

    (batch, *_) = numbered(source=Unlabelled()).loader("train", value_range=RANGE, seed=0)
    assert batch.y is None


def test_epoch_is_a_permutation_of_seed_and_epoch() -> None:
    data, step = numbered(), [0]
    epochs = {}
    for seed in (0, 1):
        loader = data.loader("train", value_range=RANGE, seed=seed, position=lambda: step[0])
        for epoch in (0, 1):
            step[0] = epoch * len(loader)
            epochs[seed, epoch] = indices(list(loader))
            assert sorted(epochs[seed, epoch]) == list(range(20))
    orders = {tuple(order) for order in epochs.values()}
    assert len(orders) == 4
    again = numbered().loader("train", value_range=RANGE, seed=0, position=lambda: 5)
    assert indices(list(again)) == epochs[0, 1]


def test_training_drops_the_incomplete_batch() -> None:
    loader = numbered(batch_size=6).loader("train", value_range=RANGE, seed=0)
    assert len(loader) == 3
    assert len(indices(list(loader))) == 18


@pytest.mark.parametrize("stop", [0, 1, 3, 5, 7, 9])
def test_resuming_anywhere_gives_the_missing_batches(stop: int) -> None:
    options = {"val_size": 0, "augment": {"flip": True, "crop_padding": 1}}

    def run(start: int, total: int) -> list[Tensor]:
        step = [start]
        loader = numbered(**options).loader(
            "train", value_range=(-1.0, 1.0), seed=3, position=lambda: step[0]
        )
        images = []
        while step[0] < total:
            for batch in loader:
                images.append(batch.x)
                step[0] += 1
                if step[0] == total:
                    break
        return images

    whole = run(0, 11)
    parts = run(0, stop) + run(stop, 11)
    assert len(whole) == len(parts) == 11
    assert all(torch.equal(a, b) for a, b in zip(whole, parts, strict=True))


@pytest.mark.parametrize("world_size", [2, 4])
def test_ranks_together_are_one_process(world_size: int) -> None:
    data = numbered(
        source=Numbered(num_train=22), batch_size=8, augment={"flip": True, "crop_padding": 2}
    )

    def loader(rank: int, world: int) -> BatchLoader:
        return data.loader("train", value_range=RANGE, seed=1, rank=rank, world_size=world)

    alone = list(loader(0, 1))
    ranks = [list(loader(rank, world_size)) for rank in range(world_size)]
    for index, batch in enumerate(alone):
        parts = [ranks[rank][index] for rank in range(world_size)]
        assert torch.equal(batch.x, torch.cat([part.x for part in parts]))
        assert [part.offset for part in parts] == [r * 8 // world_size for r in range(world_size)]
        assert {part.start for part in parts} == {batch.start}


@pytest.mark.parametrize("world_size", [1, 2, 3, 4])
@pytest.mark.parametrize("split", ["val", "test"])
def test_evaluation_is_ordered_and_whole_on_any_world(split: str, world_size: int) -> None:
    data = numbered(source=Numbered(num_train=20, num_test=9), val_size=9)
    expected = indices(list(data.loader(split, value_range=RANGE, seed=0)))  # type: ignore[arg-type]
    assert expected == sorted(expected)
    assert len(expected) == 9
    ranks = [
        list(data.loader(split, value_range=RANGE, seed=0, rank=rank, world_size=world_size))  # type: ignore[arg-type]
        for rank in range(world_size)
    ]
    assert {len(batches) for batches in ranks} == {3}
    got = [value for step in zip(*ranks, strict=True) for value in indices(list(step))]
    assert got == expected
    last = [len(batches[-1]) for batches in ranks]
    assert sum(last) == 1
    assert all(batches[-1].x.shape[1:] == (1, 4, 4) for batches in ranks)


def test_evaluation_ignores_augmentation_seed_and_position() -> None:
    plain, augmented = numbered(), numbered(augment={"flip": True, "crop_padding": 3})
    a = plain.loader("test", value_range=RANGE, seed=0)
    b = augmented.loader("test", value_range=RANGE, seed=9, position=lambda: 3)
    for left, right in zip(a, b, strict=True):
        assert torch.equal(left.x, right.x)


def test_batches_own_their_memory() -> None:
    data = numbered()
    for split in ("train", "test"):
        for batch in data.loader(split, value_range=RANGE, seed=0):  # type: ignore[arg-type]
            batch.x.fill_(-1)
            assert batch.y is not None
            batch.y.fill_(-1)
        fresh = list(data.loader(split, value_range=RANGE, seed=0))  # type: ignore[arg-type]
        assert min(float(batch.x.min()) for batch in fresh) >= 0
        assert min(int(batch.y.min()) for batch in fresh if batch.y is not None) >= 0


def ramp(num: int = 64, side: int = 6) -> Tensor:
    one = torch.arange(side * side, dtype=torch.uint8).reshape(1, 1, side, side)
    return torch.cat([one, one + 100], dim=1).repeat(num, 1, 1, 1)


def test_flip_gives_both_images_and_nothing_else() -> None:
    images = ramp()
    flipped = augment_batch(
        images, augment=Augment(flip=True), seed=0, step=0, num_global=64, offset=0
    )
    same = [torch.equal(a, b) for a, b in zip(flipped, images, strict=True)]
    mirrored = [torch.equal(a, b.flip(-1)) for a, b in zip(flipped, images, strict=True)]
    assert all(a != b for a, b in zip(same, mirrored, strict=True))
    assert 16 < sum(same) < 48
    assert flipped.is_contiguous()


def test_crops_are_windows_of_the_reflected_image() -> None:
    images, padding, side = ramp(), 2, 6
    cropped = augment_batch(
        images, augment=Augment(crop_padding=padding), seed=0, step=0, num_global=64, offset=0
    )
    padded = torch.nn.functional.pad(images.float(), [padding] * 4, mode="reflect").byte()
    found = set()
    for image, wide in zip(cropped, padded, strict=True):
        places = [
            (top, left)
            for top in range(2 * padding + 1)
            for left in range(2 * padding + 1)
            if torch.equal(image, wide[:, top : top + side, left : left + side])
        ]
        assert len(places) == 1
        found.add(places[0])
    assert len(found) > 15


def test_augmentation_follows_seed_and_step() -> None:
    def run(seed: int, step: int) -> Tensor:
        augment = Augment(flip=True, crop_padding=2)
        return augment_batch(ramp(), augment=augment, seed=seed, step=step, num_global=64, offset=0)

    assert torch.equal(run(0, 5), run(0, 5))
    assert not torch.equal(run(0, 5), run(0, 6))
    assert not torch.equal(run(0, 5), run(1, 5))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("fits", [True, False])
def test_cuda_gives_the_same_images(fits: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ganvas.data.module._DEVICE_SHARE", 4 if fits else 10**12)
    data = numbered(val_size=5, augment={"flip": True, "crop_padding": 1})
    for split in ("train", "val", "test"):
        here = data.loader(split, value_range=(-1.0, 1.0), seed=0)  # type: ignore[arg-type]
        there = data.loader(split, value_range=(-1.0, 1.0), seed=0, device="cuda")  # type: ignore[arg-type]
        assert there.images.pixels.is_cuda == fits
        for a, b in zip(here, there, strict=True):
            assert b.x.is_cuda
            torch.testing.assert_close(a.x, b.x.cpu())
            assert a.y is not None
            assert b.y is not None
            assert torch.equal(a.y, b.y.cpu())
