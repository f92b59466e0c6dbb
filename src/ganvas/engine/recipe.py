"""Networks of ours that are trained on a data set's images: seeded, alike everywhere, kept."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from rich.console import Console
from torch import Tensor, nn

from ganvas.data import ImageData
from ganvas.data.content import combine, file_lock, writing_to
from ganvas.data.tensor_file import read_tensors, write_tensors
from ganvas.tracking.provenance import package_versions
from ganvas.types import Batch

SEED = 0
BATCH = 128


@dataclass(frozen=True)
class Tested:
    """What the test images say of a network.

    Attributes:
        values: by name, for its record.
        summary: the same in a few words.
    """

    values: Mapping[str, float | int | None]
    summary: str


@dataclass(frozen=True)
class Trained:
    """A network after training.

    Attributes:
        weights: its state by name, on the CPU.
        tested: what the test images say of it.
        fingerprint: of the images.
        seconds: that training took.
    """

    weights: dict[str, Tensor]
    tested: Tested
    fingerprint: str
    seconds: float

    def describe(self) -> str:
        """Quality and time in a few words."""
        return f"{self.tested.summary}; {self.seconds:.0f} s"


def train_once(
    make: Callable[[ImageData], tuple[nn.Module, Tested]], data: ImageData, *, cache_dir: str | Path
) -> Trained:
    """Train on every training image of the data's source, whatever its validation split.

    On one CPU thread, seeded: a function of the images alone on one kind of CPU. The random state
    of the caller is untouched.

    Args:
        make: trains and tests a network on these images.
        data: whose source is trained on.
        cache_dir: where decoded images are kept.

    Raises:
        DataError: if the images can't be read.
    """
    began = time.perf_counter()
    images = ImageData(
        data.source, batch_size=1, on_error=data.on_error, cache_dir=cache_dir, name=data.name
    )
    images.prepare()
    with _alone():
        network, tested = make(images)
    weights = {name: value.detach() for name, value in network.state_dict().items()}
    return Trained(weights, tested, images.fingerprint, time.perf_counter() - began)


@contextmanager
def _alone() -> Iterator[None]:
    """One CPU thread, seeded, with gradients, whatever holds outside; outside nothing changes."""
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        with torch.random.fork_rng(devices=[]), torch.device("cpu"), torch.enable_grad():
            torch.default_generator.manual_seed(SEED)
            yield
    finally:
        torch.set_num_threads(threads)


def fit(
    network: nn.Module,
    images: ImageData,
    loss: Callable[[Batch], Tensor],
    *,
    steps: int,
    learning_rate: float,
) -> None:
    """So many batches of 128 with Adam and a one-cycle learning rate."""
    optimizer = torch.optim.Adam(network.parameters(), lr=learning_rate)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=learning_rate, total_steps=steps
    )
    step = 0
    loader = images.loader(
        "train",
        value_range=(0, 1),
        seed=SEED,
        batch_size=min(BATCH, images.counts["train"]),
        position=lambda: step,
    )
    while step < steps:
        for batch in loader:
            optimizer.zero_grad()
            loss(batch).backward()
            optimizer.step()
            schedule.step()
            step += 1
            if step == steps:
                break


def cached_weights(
    kind: str,
    recipe: int,
    data: ImageData,
    *,
    cache_dir: str,
    train: Callable[..., Trained],
) -> dict[str, Tensor]:
    """The weights of a network for these images; trained first where there are none.

    Any number of processes may ask at once: one trains and the others wait.

    Args:
        kind: what the network is, such as `classifier`.
        recipe: number of how it is made.
        data: whose images count.
        cache_dir: where weights are kept.
        train: makes them of `data` and `cache_dir`.
    """
    file = cache_file(kind, recipe, data.fingerprint, cache_dir=cache_dir)
    if (weights := read_tensors(file)) is not None:
        return weights
    with file_lock(file.with_suffix(".lock")):
        if (weights := read_tensors(file)) is not None:  # another process may have been faster
            return weights
        console = Console(stderr=True, highlight=False, soft_wrap=True)
        article = "an" if kind[0] in "aeiou" else "a"
        said = f"training {article} {kind} of {data.name} once, about a minute"
        console.print(f"ganvas: features: {said} …", end="")
        trained = train(data, cache_dir=cache_dir)
        with writing_to(file.parent):
            write_trained(file, trained, recipe=recipe, name=data.name, command=f"features={kind}")
        console.print(f" {trained.describe()}")
        return trained.weights


def cache_file(kind: str, recipe: int, fingerprint: str, *, cache_dir: str | Path) -> Path:
    """Where a data set's network is kept: its name is a hash of the images and the recipe."""
    key = combine(fingerprint, f"{kind} {recipe}")[:32]
    return Path(cache_dir).expanduser() / f"{kind}s" / f"{key}.safetensors"


def write_trained(file: Path, trained: Trained, *, recipe: int, name: str, command: str) -> None:
    """Write weights and, beside them, what they are as JSON; each whole or not at all.

    Raises:
        OSError: if the folder can't be written.
    """
    note = {
        "dataset": name,
        "command": command,
        **trained.tested.values,
        "parameters": sum(value.numel() for value in trained.weights.values()),
        "fingerprint": trained.fingerprint,
        "recipe": recipe,
        "packages": package_versions(),
    }
    write_tensors(file, trained.weights, note)
