"""The feature classifier of a data set: trained by one fixed recipe, written with its record."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from ganvas.data import ImageData
from ganvas.engine.build import instantiate
from ganvas.engine.dataset_node import check_dataset
from ganvas.engine.recipe import SEED, Tested, Trained, cache_file, fit, train_once, write_trained
from ganvas.engine.settings import ClassifierSettings
from ganvas.engine.targets import trusted_modules
from ganvas.errors import ConfigError, GanvasError
from ganvas.nn.classifier import ConvClassifier
from ganvas.types import Batch

RECIPE = 1
"""Part of every key: raise it when the network or its training changes."""

STEPS = 1500
LEARNING_RATE = 4e-3

PLACES = ("out=", "paths.", "dataset.root=", "dataset.source.root=", "full_error=", "trust=")
"""Overrides that say where, not what."""

WEIGHTS_DIR = Path(__file__).parents[1] / "weights"
"""Of the classifiers that ship with the package."""


def train_classifier(data: ImageData, *, cache_dir: str | Path) -> Trained:
    """1,500 batches of 128 of every training image of the data's source; as `train_once`.

    Raises:
        DataError: if the images can't be read.
        ValueError: if they have no labels.
    """
    return train_once(_classifier, data, cache_dir=cache_dir)


def _classifier(images: ImageData) -> tuple[ConvClassifier, Tested]:
    network = ConvClassifier(image_shape=images.image_shape, num_classes=images.num_classes)

    def loss(batch: Batch) -> Tensor:
        assert batch.y is not None
        return F.cross_entropy(network(batch.x), batch.y)

    fit(network, images, loss, steps=STEPS, learning_rate=LEARNING_RATE)
    num = images.counts["test"]
    accuracy = _accuracy(network, images) if num else None
    summary = "not tested, there are no test images"
    if accuracy is not None:
        summary = f"{accuracy:.2%} of {num:,} test images right"
    return network, Tested({"accuracy": accuracy, "test_images": num}, summary)


@torch.no_grad()
def _accuracy(network: ConvClassifier, images: ImageData) -> float:
    loader = images.loader("test", value_range=(0, 1), seed=SEED, batch_size=500)
    right = sum(int((network(batch.x).argmax(1) == batch.y).sum()) for batch in loader)
    return right / images.counts["test"]


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
    file = cache_file("classifier", RECIPE, trained.fingerprint, cache_dir=cache_dir)
    if settings.out is not None:
        file = Path(settings.out).expanduser()
    kept = [o for o in overrides if not o.startswith(PLACES)]
    command = " ".join(["ganvas classifier", *kept])
    try:
        write_trained(file, trained, recipe=RECIPE, name=data.name, command=command)
    except OSError as error:
        raise ConfigError(
            f"{file}: can't be written ({error.strerror}); choose another place by out="
        ) from error
    return file, f"{data.name}: {trained.describe()}"
