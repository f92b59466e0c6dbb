"""Images by index: nothing depends on batches or ranks; what metrics see of images."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from evaluation.subjects import InMemory, image_data, random_images, subject
from ganvas.evaluation import order
from ganvas.evaluation import subject as module
from ganvas.evaluation.callback import raw_weights
from ganvas.nn.extractor import quantized, weights_hash
from models.tiny import SHAPE, gan, vae


def pixels(batches: Any) -> list[Tensor]:
    return [batch.x for batch in batches]


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BLOCK", 8)


@pytest.mark.parametrize("world", [1, 2, 3, 7])
@pytest.mark.parametrize("size", [1, 3, 8])
def test_ranks_share_the_exact_range(world: int, size: int) -> None:
    """40 images are 5 blocks of 8; with seven ranks two have none."""
    model, data = vae(), image_data()
    whole = torch.cat(pixels(subject(model, data).batches()))
    seen: dict[int, Tensor] = {}
    for rank in range(world):
        mine = subject(model, data, rank=rank, world_size=world, batch_size=size)
        for batch in mine.batches():
            assert 1 <= len(batch) <= size
            assert batch.start // 8 % world == rank
            seen |= {batch.start + batch.offset + i: x for i, x in enumerate(batch.x)}
    assert sorted(seen) == list(range(40))
    assert torch.equal(torch.stack([seen[i] for i in range(40)]), whole)


@pytest.mark.parametrize("num", [1, 7, 8, 9, 23])
def test_the_first_images_only(num: int) -> None:
    model, data = vae(), image_data()
    parts = subject(model, data, batch_size=3).batches(num=num)
    whole = torch.cat(pixels(subject(model, data).batches()))
    assert torch.equal(torch.cat(pixels(parts)), whole[:num])


def test_noise_is_of_the_block_whatever_the_batch() -> None:
    model, data = vae(), image_data()

    def noise(size: int) -> Tensor:
        batches = subject(model, data, batch_size=size).batches(num=21)
        return torch.cat([model.noise(batch, 2) for batch in batches])

    assert torch.equal(noise(8), noise(3))
    assert not torch.equal(noise(8)[:8], noise(8)[8:16])


@pytest.mark.parametrize("num", [1, 7, 17, 39])
def test_noise_and_codes_do_not_depend_on_how_many_there_are(num: int) -> None:
    """Of an odd width: on a CPU the end of a draw depends on its size."""
    model, data = vae(latent_dim=3), image_data()
    all_of_it = subject(model, data)
    first = torch.cat([model.noise(batch, 3) for batch in all_of_it.batches(num=num)])
    whole = torch.cat([model.noise(batch, 3) for batch in all_of_it.batches()])
    assert torch.equal(first, whole[:num])
    assert torch.equal(all_of_it.codes(num), all_of_it.codes(300)[:num])


class Labelled(nn.Module):
    """Its images tell the number of their noise and their class: 8 · i + y of 255."""

    value_range, num_classes, device = (0.0, 1.0), 3, torch.device("cpu")

    def prior_codes(self, num: int, *, seed: int) -> Tensor:
        return torch.arange(num)[:, None]

    def class_labels(self, num: int) -> Tensor:
        return torch.arange(num) % 3

    def sample(self, num: int, *, noise: Tensor, seed: int = 0, y: Tensor) -> Tensor:
        return ((8 * noise[:, 0] + y) / 255).view(num, 1, 1, 1).expand(num, *SHAPE)


@pytest.mark.parametrize("world", [1, 2, 3, 4])
def test_classes_go_in_turn_whatever_ranks_and_batches(world: int) -> None:
    found: dict[int, int] = {}
    model: Any = Labelled()
    for rank in range(world):
        mine = subject(model, rank=rank, world_size=world, batch_size=4)
        for batch in mine.samples(23):
            assert len(batch) <= 4
            first = batch.start + batch.offset
            found |= {first + i: int(x[0, 0, 0]) for i, x in enumerate(batch.x)}
    assert found == {i: 8 * i + i % 3 for i in range(23)}


def test_collected_values_stand_in_the_order_of_images(monkeypatch: pytest.MonkeyPatch) -> None:
    model, data = vae(), image_data()
    parts = []
    for rank in range(3):
        mine = subject(model, data, rank=rank, world_size=3, batch_size=5)
        parts.append([(b.start + b.offset, {"x": b.x}) for b in mine.batches()])

    def gather(out: list[Any], mine: Any) -> None:
        out[:] = parts

    monkeypatch.setattr(order.torch.distributed, "all_gather_object", gather)
    found = order.in_order(parts[1], world_size=3)["x"]
    assert torch.equal(found, torch.cat(pixels(subject(model, data).batches())))


def test_no_image_at_all_is_refused() -> None:
    with pytest.raises(ValueError, match="there is no image to be measured"):
        order.in_order([])


def test_images_are_rounded_in_any_range() -> None:
    levels = torch.arange(256).view(1, 1, 16, 16).byte()
    assert torch.equal(quantized(levels / 255, (0, 1)), levels)
    assert torch.equal(quantized(levels / 127.5 - 1, (-1, 1)), levels)
    beyond = torch.tensor([-3.0, -1.0, 0.0, 1.0, 3.0])
    assert quantized(beyond, (-1, 1)).tolist() == [0, 0, 128, 255, 255]


def test_rounding_is_a_switch() -> None:
    model = gan()
    rounded, exact = (
        torch.cat(pixels(subject(model, quantize=quantize).samples())) for quantize in (True, False)
    )
    assert rounded.dtype == torch.uint8
    assert exact.is_floating_point()
    torch.testing.assert_close(rounded / 255, exact, atol=0.5 / 255 + 1e-6, rtol=0)
    assert subject(model, quantize=False).sample_protocol()["quantizer"] == "none"
    assert subject(model).sample_protocol()["quantizer"] == "uint8, rounded"


def test_content_is_that_of_the_pixels() -> None:
    images = random_images(40, seed=2)
    changed = images.copy()
    changed[30, 0, 1, 2] ^= 1
    first, second = (image_data(InMemory(test=x)) for x in (images, changed))
    assert first.content("test") != second.content("test")
    assert first.content("test", num=30) == second.content("test", num=30)
    assert first.content("test", num=31) != second.content("test", num=31)
    assert first.content("test", num=40) == first.content("test")
    assert first.content("train") == second.content("train")
    binary = image_data(InMemory(test=images), binarization="threshold")
    assert binary.content("test") != first.content("test")
    other = image_data(InMemory(test=images), split_seed=1)
    assert (other.content("val"), other.content("test")) == (
        other.content("val"), first.content("test"),
    )  # fmt: skip
    assert other.content("val") != first.content("val")


def test_the_hash_is_of_names_and_weights() -> None:
    layer = torch.nn.Linear(1, 1)
    content = b"bias" + layer.bias.detach().numpy().tobytes()
    content += b"weight" + layer.weight.detach().numpy().tobytes()
    assert weights_hash(layer) == hashlib.sha256(content).hexdigest()
    before = weights_hash(layer)
    layer.bias.data.add_(1)
    assert weights_hash(layer) != before


def test_raw_weights_are_for_the_block_only() -> None:
    model = gan(ema_decay=0.5)
    average = model.average
    with raw_weights(model, raw=True):
        assert model.average is None
    assert model.average is average
    with raw_weights(model, raw=False):
        assert model.average is average


def test_floats_are_never_rounded() -> None:
    points = np.random.default_rng(0).random((40, 2, 1, 1)).astype(np.float32)
    data = image_data(InMemory(train=points, test=points), val_size=0)
    assert not subject(vae(), data).quantizes
    assert subject(vae()).quantizes
