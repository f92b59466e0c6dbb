"""Splits, sizes and checks of ImageData."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from data_helpers import Numbered, numbered

from ganvas.data import ImageData
from ganvas.data.order import derive_seed, hash_order, share
from ganvas.errors import ConfigError, DataError

RANGE = (0.0, 255.0)


def seen(data: ImageData, split: str) -> list[int]:
    loader = data.loader(split, value_range=RANGE, seed=0, batch_size=1)
    return sorted(int(batch.x[0, 0, 0, 0]) for batch in loader)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 0}, "dataset.batch_size: must be at least 1, got 0"),
        ({"batch_size": 2.5}, "dataset.batch_size: must be a whole number, got 2.5"),
        ({"batch_size": True}, "dataset.batch_size: must be a whole number"),
        ({"split_seed": -1}, "dataset.split_seed: must be at least 0, got -1"),
        ({"val_size": -1}, "dataset.val_size: must be a count"),
        ({"val_size": 1.5}, "dataset.val_size: must be a count"),
        ({"val_size": float("nan")}, "dataset.val_size: must be a count"),
        ({"val_size": True}, "dataset.val_size: must be a count"),
        ({"max_train": 0}, "dataset.max_train: must be at least 1, got 0"),
        ({"on_error": "ignore"}, "dataset.on_error: must be raise or skip, got 'ignore'"),
        ({"augment": {"rotate": 3}}, "dataset.augment.rotate: no such key"),
        ({"augment": {"flip": "yes"}}, "dataset.augment.flip: must be true or false"),
        ({"augment": {"crop_padding": -1}}, "dataset.augment.crop_padding: must be a whole number"),
    ],
)
def test_bad_values_are_refused_by_their_key(options: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        ImageData(Numbered(), **{"batch_size": 4, **options})  # type: ignore[arg-type]


def test_construction_reads_nothing_and_knows_sizes() -> None:
    source = Numbered()
    data = ImageData(source, batch_size=4, val_size=0.25)
    assert (data.num_train, data.steps_per_epoch(), data.image_shape) == (15, 3, (1, 4, 4))
    assert source.reads == 0
    with pytest.raises(RuntimeError, match="prepare"):
        _ = data.counts


def test_unknown_counts_are_none_until_prepared() -> None:
    data = ImageData(Numbered(known=False), batch_size=4)
    assert data.num_train is None
    assert data.steps_per_epoch() is None
    data.prepare()
    assert (data.num_train, data.steps_per_epoch()) == (20, 5)


@pytest.mark.parametrize("val_size", [0, 5, 0.25])
def test_splits_are_disjoint_and_complete(val_size: float) -> None:
    data = numbered(val_size=val_size)
    num_val = 5 if val_size else 0
    assert data.counts == {"train": 20 - num_val, "val": num_val, "test": 5}
    train = seen(data, "train")
    val = seen(data, "val") if num_val else []
    assert sorted(train + val) == list(range(20))
    assert seen(data, "test") == [200, 201, 202, 203, 204]


def test_split_seed_moves_validation_only() -> None:
    first, same, other = (numbered(val_size=5, split_seed=seed) for seed in (0, 0, 1))
    assert seen(first, "val") == seen(same, "val")
    assert seen(first, "val") != seen(other, "val")
    assert seen(first, "test") == seen(other, "test")


def test_max_train_caps_train_and_leaves_the_rest() -> None:
    full, capped = numbered(val_size=5), numbered(val_size=5, max_train=8)
    assert capped.counts == {"train": 8, "val": 5, "test": 5}
    assert seen(full, "val") == seen(capped, "val")
    assert set(seen(capped, "train")) < set(seen(full, "train"))


def test_sizes_that_leave_nothing_are_refused() -> None:
    with pytest.raises(DataError, match=r"val_size=20 leaves nothing of 20 training images"):
        numbered(val_size=20)
    with pytest.raises(DataError, match=r"val_size=0.01 of 20 training images is none"):
        numbered(val_size=0.01)
    with pytest.raises(DataError, match=r"batch_size=16 is more than the 15 training images"):
        numbered(val_size=5, batch_size=16)
    assert len(numbered(batch_size=20).loader("train", value_range=RANGE, seed=0)) == 1


def test_batch_must_be_shared_evenly_in_training() -> None:
    with pytest.raises(ConfigError, match=r"multiple of 3, got 4"):
        numbered(world_size=3)
    data = numbered(world_size=2)
    with pytest.raises(ConfigError, match=r"multiple of 2, got 3"):
        data.loader("train", value_range=RANGE, seed=0, world_size=2, batch_size=3)


def test_absent_split_and_bad_range_are_refused() -> None:
    data = numbered(source=Numbered(num_test=0))
    with pytest.raises(DataError, match=r"no val images; set dataset.val_size"):
        data.loader("val", value_range=RANGE, seed=0)
    with pytest.raises(DataError, match="no test images"):
        data.loader("test", value_range=RANGE, seed=0)
    with pytest.raises(ConfigError, match="low must be below high"):
        data.loader("train", value_range=(1, 0), seed=0)


def test_padding_wider_than_an_image_is_refused() -> None:
    with pytest.raises(ConfigError, match="below the image side of 4, got 4"):
        numbered(augment={"crop_padding": 4})
    numbered(augment={"crop_padding": 3})


def test_empty_training_split_is_refused() -> None:
    with pytest.raises(DataError, match="no training images"):
        numbered(source=Numbered(num_train=0))


def test_fingerprint_is_of_content_not_of_splits(tmp_path: Path) -> None:
    data = ImageData(Numbered(), batch_size=4)
    other_split = ImageData(Numbered(), batch_size=2, val_size=5, split_seed=3, cache_dir=tmp_path)
    assert data.fingerprint == other_split.fingerprint
    assert data.fingerprint != ImageData(Numbered(num_train=21), batch_size=4).fingerprint


def test_seeds_do_not_collide() -> None:
    seeds = {
        derive_seed(purpose, seed, epoch)
        for purpose in ("order", "augment")
        for seed in range(30)
        for epoch in range(30)
    }
    assert len(seeds) == 2 * 30 * 30
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert derive_seed("a", 1, 11) != derive_seed("a", 11, 1)


def test_hash_order_is_stable_under_additions() -> None:
    names = [f"image{index}.png" for index in range(50)]
    order = [names[index] for index in hash_order(names)]
    longer = [*names, "new.png"]
    again = [longer[index] for index in hash_order(longer) if longer[index] != "new.png"]
    assert order == again != names


def test_share_of_counts_and_fractions() -> None:
    assert (share(3, num=10), share(0.25, num=10), share(0.26, num=100)) == (3, 2, 26)


def test_global_generator_is_untouched() -> None:
    before = torch.get_rng_state()
    data = numbered(val_size=5, augment={"flip": True, "crop_padding": 1})
    list(data.loader("train", value_range=RANGE, seed=0))
    list(data.loader("val", value_range=RANGE, seed=0))
    assert torch.equal(before, torch.get_rng_state())
