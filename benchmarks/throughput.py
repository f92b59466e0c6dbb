"""Training images per second: ganvas against two loops that people write by hand.

    python benchmarks/throughput.py [--rounds 5] [--batches 200] [--output benchmarks/results]

Three ways to train the same network with the same optimiser on MNIST (or, where
GANVAS_DATA_DIR has none, on random images of the same shape), measured in turn, round by round, in
one process, so that a noisy machine hits all alike:

* bare: a plain PyTorch loop over batches that are indexed out of one uint8 tensor in memory;
* ganvas: the whole trainer with record, trace, checkpoints, figures and progress;
* torchvision: data set + ToTensor + DataLoader(num_workers=0), the loop of most tutorials.

Ratios are seconds of that way over seconds of the bare loop, in the same round; the median and the
range over rounds are reported. Nothing is asserted: this is a measurement.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ganvas.engine.build import build_data, build_model
from ganvas.engine.check import check_overrides
from ganvas.engine.session import Session
from ganvas.engine.signals import SignalInbox
from ganvas.engine.trainer import prepare_process, quiet_lightning
from ganvas.models.base import GenerativeModule
from ganvas.tracking.hub import Hub
from ganvas.tracking.record import RunRecord

BATCH = 128
CASES = {
    "dense VAE": ["model=vae", "network.encoder.hidden=[400]", "network.decoder.hidden=[400]"],
    "DCGAN": ["model=dcgan", "network.generator.width=16", "network.critic.width=16"],
}


def train_bare_vae(model: Any, optimizer: torch.optim.Optimizer, batches: Iterable[Tensor]) -> None:
    """The tutorial's loop: one optimiser."""
    for x in batches:
        optimizer.zero_grad()
        mu, log_var = model.encoder(x).chunk(2, 1)
        z = mu + (0.5 * log_var).exp() * torch.randn_like(mu)
        bce = torch.nn.functional.binary_cross_entropy_with_logits(
            model.decoder(z), x, reduction="sum"
        )
        kl = -0.5 * (1 + log_var - mu.square() - log_var.exp()).sum()
        loss = (bce + kl) / len(x)
        loss.backward()
        optimizer.step()


def train_bare_gan(
    model: Any, optimizers: list[torch.optim.Optimizer], batches: Iterable[Tensor]
) -> None:
    """The tutorial's loop: critic, then generator, with an average of its weights."""
    critic_optimizer, generator_optimizer = optimizers
    softplus = torch.nn.functional.softplus
    for x in batches:
        z = torch.randn(len(x), model.latent_dim, device=x.device)
        critic_optimizer.zero_grad()
        with torch.no_grad():
            fake = model.generator(z)
        real_logits, fake_logits = model.critic(x), model.critic(fake)
        (softplus(-real_logits).mean() + softplus(fake_logits).mean()).backward()
        critic_optimizer.step()
        for p in model.critic.parameters():
            p.requires_grad_(False)
        generator_optimizer.zero_grad()
        softplus(-model.critic(model.generator(z))).mean().backward()
        generator_optimizer.step()
        for p in model.critic.parameters():
            p.requires_grad_(True)
        model.average.update(model.generator)


def indexed_batches(images: Tensor, *, low: float, num: int) -> Iterator[Tensor]:
    """Shuffled float batches out of one uint8 tensor."""
    order = torch.randperm(len(images), device=images.device)
    for i in range(num):
        x = images[order[i * BATCH : (i + 1) * BATCH]].float().div_(255)
        yield x if low == 0 else x.mul_(2).sub_(1)


def torchvision_batches(images: np.ndarray, *, low: float, num: int) -> Iterator[Tensor]:
    """Data set of PIL images + ToTensor + DataLoader."""
    from PIL import Image
    from torch.utils.data import DataLoader, Dataset
    from torchvision.transforms import Compose, Normalize, ToTensor

    steps = [ToTensor()] if low == 0 else [ToTensor(), Normalize(0.5, 0.5)]
    transform = Compose(steps)

    class Pictures(Dataset):  # as torchvision.datasets.MNIST does it
        def __len__(self) -> int:
            return len(images)

        def __getitem__(self, i: int) -> tuple[Tensor, int]:
            return transform(Image.fromarray(images[i], mode=None)), 0

    loader = DataLoader(Pictures(), batch_size=BATCH, shuffle=True, drop_last=True)
    for i, (x, _) in enumerate(loader):
        if i == num:
            return
        yield x


def seconds(action: Callable[[], None]) -> float:
    """Wall time of one call, with the device's queue emptied."""
    start = time.perf_counter()
    action()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - start


def overrides(case: str, *, folder: Path, batches: int, dataset: str) -> list[str]:
    """The run that is measured."""
    return [
        *CASES[case],
        f"dataset={dataset}",
        f"dataset.batch_size={BATCH}",
        "logger=none",
        "trainer.max_epochs=null",
        f"trainer.max_steps={batches}",
        "test=false",
        "dataset.val_size=0",  # neither of the other loops validates
        f"paths.runs_dir={folder}",
    ]


class Case:
    """One model trained in three ways."""

    def __init__(self, name: str, *, folder: Path, batches: int, dataset: str) -> None:
        self.name, self.folder, self.batches = name, folder, batches
        self.checked = check_overrides(
            overrides(name, folder=folder, batches=batches, dataset=dataset)
        )
        self.data = build_data(self.checked)
        self.data.prepare()
        self.low = self._model().value_range[0]
        loader = self.data.loader("train", value_range=(0.0, 255.0), seed=0)
        pixels = [batch.x.round().byte() for batch in loader]
        self.images = torch.cat(pixels)
        self.pictures = self.images.squeeze(1).numpy()

    def _model(self) -> GenerativeModule:
        prepare_process(self.checked)
        return build_model(self.checked, self.data)

    def by_hand(self, batches: Callable[[], Iterable[Tensor]]) -> float:
        """Seconds of a hand-written loop."""
        model = self._model().train()
        optimizers = model.configure_optimizers()
        train = train_bare_gan if isinstance(optimizers, list) else train_bare_vae
        return seconds(lambda: train(model, optimizers, batches()))  # type: ignore[arg-type]

    def bare(self) -> float:
        """Plain loop, indexed batches."""
        return self.by_hand(lambda: indexed_batches(self.images, low=self.low, num=self.batches))

    def torchvision(self) -> float:
        """Plain loop, tutorial's data path."""
        return self.by_hand(
            lambda: torchvision_batches(self.pictures, low=self.low, num=self.batches)
        )

    def ganvas(self) -> float:
        """The whole trainer, between its first and last batch (start-up is not training)."""
        prepare_process(self.checked)
        record = RunRecord.create(
            self.folder, "benchmark", config=self.checked.config, overrides=[], command="", seed=0
        )
        hub = Hub(record)
        session = Session(self.checked, self.data, folder=record.path, hub=hub, inbox=SignalInbox())
        session.fit(checkpoint=None)
        took = session.figures.training_seconds
        hub.finish("finished")
        return took


def measure(case: Case, *, rounds: int) -> dict[str, Any]:
    """Seconds by way and round, and ratios to the bare loop of the same round."""
    ways = {"bare": case.bare, "ganvas": case.ganvas, "torchvision": case.torchvision}
    for way in ways.values():
        way()  # warm-up
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(rounds):
        names = list(ways) if turn % 2 == 0 else list(ways)[::-1]
        for name in names:
            taken[name].append(ways[name]())
    images = case.batches * BATCH
    result: dict[str, Any] = {}
    for name, values in taken.items():
        ratios = [v / b for v, b in zip(values, taken["bare"], strict=True)]
        result[name] = {
            "images_per_second": round(images / statistics.median(values)),
            "ratio": round(statistics.median(ratios), 3),
            "ratio_range": [round(min(ratios), 3), round(max(ratios), 3)],
        }
    return result


def hardware() -> dict[str, Any]:
    """What the figures belong to."""
    from ganvas.tracking import provenance

    return {
        "hardware": provenance.hardware(),
        "packages": provenance.package_versions(),
        "python": platform.python_version(),
    }


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batches", type=int, default=200)
    parser.add_argument("--output", type=Path, default=None, help="folder for throughput.json")
    options = parser.parse_args()
    quiet_lightning()
    root = Path(os.environ.get("GANVAS_DATA_DIR", "data"))
    dataset = "mnist" if (root / "MNIST").is_dir() else "digits"
    results: dict[str, Any] = {"dataset": dataset, "batch_size": BATCH, **vars(options)}
    results.pop("output")
    with tempfile.TemporaryDirectory() as folder:
        for name in CASES:
            case = Case(name, folder=Path(folder), batches=options.batches, dataset=dataset)
            results[name] = measure(case, rounds=options.rounds)
            for way, figures in results[name].items():
                low, high = figures["ratio_range"]
                print(
                    f"{name:<10} {way:<12} {figures['images_per_second']:>8,} images/s  "
                    f"{figures['ratio']:.3f} × bare  ({low:.3f}–{high:.3f})"
                )
    results |= hardware()
    if options.output:
        options.output.mkdir(parents=True, exist_ok=True)
        (options.output / "throughput.json").write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
