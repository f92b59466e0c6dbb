"""The lecture's DCGAN: its two parameter counts, its sizes, and two steps of a whole run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import ganvas
from ganvas.nn.lecture_dcgan import LectureCritic, LectureGenerator, valid_sizes

COLOUR = (3, 32, 32)


def dense(num_in: int, num_out: int) -> int:
    return (num_in + 1) * num_out


def conv(num_in: int, num_out: int, kernel: int) -> int:
    return (num_in * kernel**2 + 1) * num_out


def count(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


def test_the_generator_has_the_books_number_of_parameters() -> None:
    by_layer = [
        dense(32, 16 * 16 * 128),
        conv(128, 256, 5),
        conv(256, 256, 4),
        conv(256, 256, 5),
        conv(256, 256, 5),
        conv(256, 3, 7),
    ]
    network = LectureGenerator(num_inputs=32, image_shape=COLOUR, width=128)
    layers = [m for m in network.modules() if not list(m.children()) and count(m)]
    assert [count(m) for m in layers] == by_layer
    assert sum(by_layer) == count(network) == 6_264_579
    assert isinstance(layers[2], nn.ConvTranspose2d)


def test_the_critic_has_the_books_number_of_parameters() -> None:
    by_layer = [
        conv(3, 128, 3),
        *[conv(128, 128, 4)] * 3,
        dense(2 * 2 * 128, 1),
    ]
    network = LectureCritic(image_shape=COLOUR, num_outputs=1, width=128, dropout=0.4)
    layers = [m for m in network.modules() if not list(m.children()) and count(m)]
    assert [count(m) for m in layers] == by_layer
    assert sum(by_layer) == count(network) == 790_913


def test_the_critics_maps_are_the_books() -> None:
    assert valid_sizes(32) == [32, 30, 14, 6, 2]
    network = LectureCritic(image_shape=COLOUR, num_outputs=1, width=2, dropout=0.4)
    h, sides = torch.zeros(1, *COLOUR), []
    for layer in network.layers:
        h = layer(h)
        if isinstance(layer, nn.Conv2d):
            sides.append(h.shape[-1])
    assert sides == valid_sizes(32)[1:]
    assert [m.p for m in network.modules() if isinstance(m, nn.Dropout)] == [0.4]


def test_the_slope_is_that_of_keras() -> None:
    networks = (
        LectureGenerator(num_inputs=3, image_shape=COLOUR, width=2),
        LectureCritic(image_shape=COLOUR, num_outputs=1, width=2, dropout=0.4),
    )
    for network, number in zip(networks, (5, 4), strict=True):
        slopes = [m.negative_slope for m in network.modules() if isinstance(m, nn.LeakyReLU)]
        assert slopes == [0.3] * number


@pytest.mark.slow
def test_two_steps_at_full_width(tmp_path: Path) -> None:
    two_steps(tmp_path)


def test_two_steps_with_real_and_fake_in_one_batch(tmp_path: Path) -> None:
    two_steps(tmp_path, "network.generator.width=8", "network.critic.width=8")


def two_steps(folder: Path, *more: str) -> None:
    """The experiment on random colour images, to its end; every weight has moved."""
    images = np.random.default_rng(0).integers(0, 256, (24, 32, 32, 3), dtype=np.uint8)
    np.savez(folder / "images.npz", images=images)
    run = ganvas.train(
        [
            "experiment=lecture_dcgan_cifar10",
            "dataset=arrays",
            f"dataset.root={folder / 'images.npz'}",
            "dataset.batch_size=4",
            "dataset.val_size=4",
            "dataset.source.test_size=4",
            "trainer=cpu",
            "trainer.max_steps=2",
            "trainer.progress_bar=false",
            "callbacks.images=null",
            "callbacks.diversity=null",
            "logger=none",
            f"paths.runs_dir={folder / 'runs'}",
            *more,
        ]
    )
    assert run.record["status"] == "finished"
    model = run.load_model("last").module
    assert (model.together, model.labels.noise, model.latent_dim) == (True, 0.05, 32)
    assert model.counters["generator_steps"] == 2
    if not more:
        assert (count(model.generator), count(model.critic)) == (6_264_579, 790_913)
    sample = run.load_model("last").sample(2)
    assert sample.shape == (2, *COLOUR)
    assert torch.isfinite(sample).all()
