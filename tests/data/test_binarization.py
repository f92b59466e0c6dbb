"""Binarised pixels: exact rules, probabilities, and draws that only their keys decide."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from data_helpers import Numbered, numbered
from torch import Tensor

from ganvas.data import ImageData
from ganvas.data.binarization import BLOCK, binarized, evaluation_draws, training_draws
from ganvas.engine.build import build_data
from ganvas.engine.check import check_overrides
from ganvas.errors import ConfigError
from ganvas.types import Split

RANGE = (0.0, 1.0)
EVERY = torch.arange(256, dtype=torch.uint8).reshape(1, 1, 16, 16)


@dataclass
class Ramps(Numbered):
    """Images that all are the same ramp of grey values."""

    def read(self, split: Split) -> tuple[np.ndarray, np.ndarray | None]:
        images, labels = super().read(split)
        size = self.side**2
        ramp = np.linspace(0, 255, size).round().astype(np.uint8)
        return np.broadcast_to(ramp.reshape(1, 1, self.side, self.side), images.shape), labels


def ramps(*, binarization: str | None = "dynamic", **options: object) -> ImageData:
    source = Ramps(num_train=40, num_test=150)
    return numbered(source=source, binarization=binarization, **options)


def images(data: ImageData, split: Split, **options: object) -> Tensor:
    loader = data.loader(split, **{"value_range": RANGE, "seed": 0, **options})  # type: ignore[arg-type]
    return torch.cat([batch.x for batch in loader])


def test_threshold_is_white_above_one_half() -> None:
    got = binarized(EVERY, "threshold", draws=lambda: torch.empty(0))
    assert torch.equal(got, torch.where(EVERY.double() / 255 > 0.5, 255, 0).to(torch.uint8))
    assert (got == 255).sum() == 128


def test_every_draw_but_none_makes_a_pixel_as_white_as_it_is_bright() -> None:
    draws = torch.arange(255, dtype=torch.uint8).reshape(255, 1, 1, 1)
    white = binarized(EVERY.expand(255, 1, 16, 16), "dynamic", draws=lambda: draws) == 255
    assert torch.equal(white.sum(0), EVERY[0].long())


def test_draws_are_uniform_below_255() -> None:
    draws = training_draws(torch.empty(400, 1, 16, 16), seed=0, step=0, num_global=400, offset=0)
    counts = torch.bincount(draws.flatten().long(), minlength=256)
    assert counts[255] == 0
    expected = draws.numel() / 255
    chi_square = ((counts[:255] - expected).square() / expected).sum()
    assert 150 < chi_square < 380  # 254 degrees of freedom: mean 254, deviation 22.5


@pytest.mark.parametrize("split", ["train", "test"])
def test_the_mean_of_many_draws_is_the_grey_value(split: Split) -> None:
    grey = images(ramps(binarization=None), split)[0]
    step = [0]
    seen = []
    for epoch in range(30 if split == "train" else 1):
        step[0] = epoch * 10
        seen.append(images(ramps(), split, position=lambda: step[0]))
    binary = torch.cat(seen)
    assert set(binary.unique().tolist()) == {0.0, 1.0}
    deviation = (grey * (1 - grey) / len(binary)).sqrt()
    assert ((binary.mean(0) - grey).abs() <= 4 * deviation).all()
    assert (binary[:, 0, 0, 0] == 0).all()
    assert (binary[:, 0, -1, -1] == 1).all()
    assert torch.equal(images(ramps(binarization=None), split)[0], grey)


def test_training_images_are_drawn_anew_by_step_and_seed() -> None:
    first, again, later, other = (
        images(ramps(), "train", position=lambda s=start: s, seed=seed)
        for start, seed in ((0, 0), (0, 0), (10, 0), (0, 1))
    )
    assert torch.equal(first, again)
    assert (first != later).any(dim=(1, 2, 3)).all()
    assert (first != other).any(dim=(1, 2, 3)).all()
    assert (first[:4] != first[4:8]).any(dim=(1, 2, 3)).all()


@pytest.mark.parametrize("stop", [1, 4, 10, 13])
def test_resuming_anywhere_gives_the_missing_images(stop: int) -> None:
    def run(start: int, total: int) -> list[Tensor]:
        step, found = [start], []
        while step[0] < total:
            loader = ramps(augment={"flip": True, "crop_padding": 1}).loader(
                "train", value_range=RANGE, seed=3, position=lambda: step[0]
            )
            for batch in loader:
                found.append(batch.x)
                step[0] += 1
                if step[0] == total:
                    break
        return found

    whole, parts = run(0, 17), run(0, stop) + run(stop, 17)
    assert all(torch.equal(a, b) for a, b in zip(whole, parts, strict=True))


@pytest.mark.parametrize("world_size", [2, 4])
def test_ranks_together_are_one_process(world_size: int) -> None:
    data = ramps(batch_size=8)
    alone = images(data, "train")
    ranks = [
        images(data, "train", rank=rank, world_size=world_size).split(8 // world_size)
        for rank in range(world_size)
    ]
    together = torch.cat([part for parts in zip(*ranks, strict=True) for part in parts])
    assert torch.equal(together, alone)


@pytest.mark.parametrize("split", ["val", "test"])
def test_evaluated_images_do_not_depend_on_batches_ranks_or_seeds(split: Split) -> None:
    data = ramps(val_size=15)
    expected = images(data, split)
    for size in (1, 7, 64, 65, 150):
        assert torch.equal(images(data, split, batch_size=size, seed=size), expected)
    for world_size in (2, 3):
        ranks = [
            list(data.loader(split, value_range=RANGE, seed=5, rank=rank, world_size=world_size))
            for rank in range(world_size)
        ]
        together = [batch.x for batches in zip(*ranks, strict=True) for batch in batches]
        assert torch.equal(torch.cat(together), expected)
    assert len(expected.flatten(1).unique(dim=0)) > 10  # drawn for each image
    assert torch.equal(images(ramps(val_size=15, split_seed=0), split), expected)


@pytest.mark.parametrize("start", [0, 1, BLOCK - 1, BLOCK, 3 * BLOCK - 2])
@pytest.mark.parametrize("num", [0, 1, BLOCK, 2 * BLOCK + 3])
def test_draws_in_evaluation_are_those_of_the_positions(start: int, num: int) -> None:
    everyone = evaluation_draws(torch.empty(6 * BLOCK, 1, 2, 2), start=0)
    got = evaluation_draws(torch.empty(num, 1, 2, 2), start=start)
    assert torch.equal(got, everyone[start : start + num])
    assert len(everyone.flatten(1).unique(dim=0)) > 6 * BLOCK - 5


def test_threshold_acts_on_every_split_and_grey_is_left_alone() -> None:
    grey, binary = ramps(binarization=None), ramps(binarization="threshold")
    for split in ("train", "test"):
        assert torch.equal(images(binary, split), (images(grey, split) > 0.5).float())
    symmetric = images(binary, "test", value_range=(-1.0, 1.0))
    assert set(symmetric.unique().tolist()) == {-1.0, 1.0}
    assert len(images(grey, "test").unique()) > 10


def test_the_store_and_its_identity_do_not_change() -> None:
    grey, binary = ramps(binarization=None), ramps()
    assert grey.fingerprint == binary.fingerprint
    images(binary, "train")
    assert torch.equal(
        binary.loader("test", value_range=RANGE, seed=0).images.pixels,
        grey.loader("test", value_range=RANGE, seed=0).images.pixels,
    )


@pytest.mark.parametrize("value", ["static", "", True, 0.5])
def test_another_way_is_refused(value: object) -> None:
    rule = r"dataset\.binarization: must be dynamic or threshold, got .*leave it null for grey"
    with pytest.raises(ConfigError, match=rule):
        ImageData(Numbered(), batch_size=4, binarization=value)  # type: ignore[arg-type]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("fits", [True, False])
def test_cuda_gives_the_same_images(fits: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ganvas.data.module._DEVICE_SHARE", 4 if fits else 10**12)
    data = ramps(val_size=5, augment={"flip": True, "crop_padding": 1})
    for split in ("train", "val", "test"):
        there = images(data, split, device="cuda")  # type: ignore[arg-type]
        assert there.is_cuda
        assert torch.equal(images(data, split), there.cpu())  # type: ignore[arg-type]


def test_it_is_a_key_of_every_data_set() -> None:
    data = build_data(check_overrides(["model=vae", "dataset=digits"]))
    assert data.binarization is None
    data = build_data(
        check_overrides(["model=vae", "dataset=mnist", "dataset.binarization=dynamic"])
    )
    assert data.binarization == "dynamic"
