"""The feature classifier of a data set: trained by one fixed recipe, written with its record."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from ganvas.data import ImageData
from ganvas.data.content import combine
from ganvas.data.tensor_file import write_tensors
from ganvas.engine.build import check_dataset, instantiate
from ganvas.engine.settings import ClassifierSettings
from ganvas.engine.targets import trusted_modules
from ganvas.errors import ConfigError, GanvasError
from ganvas.nn.classifier import ConvClassifier
from ganvas.tracking.provenance import package_versions

RECIPE = 1
"""Part of every key: raise it when the network or its training changes."""

STEPS = 1500
BATCH = 128
LEARNING_RATE = 4e-3
SEED = 0

PLACES = ("out=", "paths.", "dataset.root=", "dataset.source.root=", "full_error=", "trust=")
"""Overrides that say where, not what."""

WEIGHTS_DIR = Path(__file__).parents[1] / "weights"
"""Of the classifiers that ship with the package."""


@dataclass(frozen=True)
class Trained:
    """A classifier after training.

    Attributes:
        weights: its state by name, on the CPU.
        accuracy: share of the test images that it classifies rightly; None without test images.
        num_test: test images.
        fingerprint: of the images.
        seconds: that training took.
    """

    weights: dict[str, Tensor]
    accuracy: float | None
    num_test: int
    fingerprint: str
    seconds: float


def train_classifier(data: ImageData, *, cache_dir: str | Path) -> Trained:
    """Train on every training image of the data's source, whatever its validation split.

    1,500 batches of 128 with Adam and a one-cycle learning rate, on one CPU thread, seeded: a
    function of the images alone on one kind of CPU. The random state of the caller is untouched.

    Args:
        data: whose source is trained on.
        cache_dir: where decoded images are kept.

    Raises:
        DataError: if the images can't be read.
        ValueError: if they have no labels.
    """
    began = time.perf_counter()
    images = ImageData(
        data.source, batch_size=1, on_error=data.on_error, cache_dir=cache_dir, name=data.name
    )
    images.prepare()
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        with torch.random.fork_rng(devices=[]), torch.device("cpu"), torch.enable_grad():
            torch.default_generator.manual_seed(SEED)
            network = ConvClassifier(image_shape=data.image_shape, num_classes=images.num_classes)
            _fit(network, images)
        num_test = images.counts["test"]
        accuracy = _accuracy(network, images) if num_test else None
    finally:
        torch.set_num_threads(threads)
    weights = {name: value.detach() for name, value in network.state_dict().items()}
    seconds = time.perf_counter() - began
    return Trained(weights, accuracy, num_test, images.fingerprint, seconds)


def _fit(network: ConvClassifier, images: ImageData) -> None:
    optimizer = torch.optim.Adam(network.parameters(), lr=LEARNING_RATE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=LEARNING_RATE, total_steps=STEPS
    )
    step = 0
    loader = images.loader(
        "train",
        value_range=(0, 1),
        seed=SEED,
        batch_size=min(BATCH, images.counts["train"]),
        position=lambda: step,
    )
    while step < STEPS:
        for batch in loader:
            assert batch.y is not None
            optimizer.zero_grad()
            F.cross_entropy(network(batch.x), batch.y).backward()
            optimizer.step()
            schedule.step()
            step += 1
            if step == STEPS:
                break


@torch.no_grad()
def _accuracy(network: ConvClassifier, images: ImageData) -> float:
    loader = images.loader("test", value_range=(0, 1), seed=SEED, batch_size=500)
    right = sum(int((network(batch.x).argmax(1) == batch.y).sum()) for batch in loader)
    return right / images.counts["test"]


def cache_file(fingerprint: str, *, cache_dir: str | Path) -> Path:
    """Where a data set's classifier is kept: its name is a hash of the images and the recipe."""
    key = combine(fingerprint, f"classifier {RECIPE}")[:32]
    return Path(cache_dir).expanduser() / "classifiers" / f"{key}.safetensors"


def write_classifier(file: Path, trained: Trained, *, name: str, command: str) -> None:
    """Write weights and, beside them, what they are as JSON; each whole or not at all.

    Raises:
        OSError: if the folder can't be written.
    """
    note = {
        "dataset": name,
        "command": command,
        "accuracy": trained.accuracy,
        "test_images": trained.num_test,
        "parameters": sum(value.numel() for value in trained.weights.values()),
        "fingerprint": trained.fingerprint,
        "recipe": RECIPE,
        "packages": package_versions(),
    }
    write_tensors(file, trained.weights, note)


def make_classifier(settings: ClassifierSettings, *, overrides: Sequence[str]) -> tuple[Path, str]:
    """`ganvas classifier`: train, test and write, whatever was there before.

    Args:
        settings: of the command.
        overrides: as typed, for the record; those that only name places are left out.

    Returns:
        The file, and one line about its accuracy.

    Raises:
        GanvasError: if the images can't be read or have no labels, or the file not be written.
    """
    node, cache_dir = settings.dataset, settings.paths.cache_dir
    check_dataset(node, trusted_modules(settings.trust))
    data = ImageData(
        instantiate(node["source"]),
        batch_size=1,
        on_error=node.get("on_error", "raise"),
        name=node["name"],
    )
    if data.source.num_classes == 0:  # known before any file is read or downloaded
        raise ConfigError(
            f"dataset={data.name}: a classifier needs images with labels, and these have none; "
            "choose a labelled dataset"
        )
    try:
        trained = train_classifier(data, cache_dir=cache_dir)
    except GanvasError:
        raise
    except ValueError as error:
        raise ConfigError(f"dataset={data.name}: {error}") from error
    file = cache_file(trained.fingerprint, cache_dir=cache_dir)
    if settings.out is not None:
        file = Path(settings.out).expanduser()
    kept = [o for o in overrides if not o.startswith(PLACES)]
    command = " ".join(["ganvas classifier", *kept])
    try:
        write_classifier(file, trained, name=data.name, command=command)
    except OSError as error:
        raise ConfigError(
            f"{file}: can't be written ({error.strerror}); choose another place by out="
        ) from error
    return file, f"{data.name}: {describe(trained)}"


def describe(trained: Trained) -> str:
    """Accuracy and time in a few words."""
    tested = "not tested, there are no test images"
    if trained.accuracy is not None:
        tested = f"{trained.accuracy:.2%} of {trained.num_test:,} test images right"
    return f"{tested}; {trained.seconds:.0f} s"
