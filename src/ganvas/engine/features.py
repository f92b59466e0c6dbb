"""The `features` group: a frozen network, and where the weights of our classifier come from.

Shipped with the package, or cached from an earlier use, or trained now: always for exactly these
images, by their fingerprint.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from rich.console import Console
from torch import Tensor, nn

from ganvas.data.content import file_lock, writing_to
from ganvas.engine.classifier import (
    RECIPE,
    WEIGHTS_DIR,
    cache_file,
    describe,
    read_classifier,
    read_note,
    train_classifier,
    write_classifier,
)
from ganvas.errors import ConfigError
from ganvas.nn.classifier import ConvClassifier
from ganvas.nn.frozen import Frozen

if TYPE_CHECKING:
    from ganvas.data import ImageData


def build_features(build: Callable[[], Any], data: ImageData, *, cache_dir: str | None) -> Frozen:
    """The network of the `features` group, frozen.

    The global random state is as before, so that a model's own weights do not depend on what
    measures it. On the meta device nothing is read or trained.

    Args:
        build: makes the network.
        data: whose classifier is wanted.
        cache_dir: where those of other data sets are kept; None where a checkpoint will bring the
            weights, so that none are looked for.

    Raises:
        ConfigError: if it is no network.
        DataError: if the images can't be read, or the cache not be written.
    """
    with torch.random.fork_rng(devices=[]):
        network = build()
    if not isinstance(network, nn.Module):
        raise ConfigError(
            f"features: must name a network by _target_, got {type(network).__name__}"
        )
    on_meta = torch.get_default_device().type == "meta"
    if type(network) is ConvClassifier and cache_dir is not None and not on_meta:
        network.load_state_dict(classifier_weights(data, cache_dir=cache_dir))
    return Frozen(network)


def classifier_weights(data: ImageData, *, cache_dir: str) -> dict[str, Tensor]:
    """The weights of the classifier for these images; trained first where there are none.

    Any number of processes may ask at once: one trains and the others wait.
    """
    if (shipped := shipped_file(data.fingerprint)) is not None:
        weights = read_classifier(shipped)
        if weights is not None:
            return weights
    file = cache_file(data.fingerprint, cache_dir=cache_dir)
    weights = read_classifier(file)
    if weights is not None:
        return weights
    with file_lock(file.with_suffix(".lock")):
        weights = read_classifier(file)  # another process may have been faster
        if weights is None:
            weights = _train(data, file=file, cache_dir=cache_dir)
    return weights


def shipped_file(fingerprint: str) -> Path | None:
    """The weights in the package for images of this fingerprint, if any."""
    for file in sorted(WEIGHTS_DIR.glob("*.json")):
        note = read_note(file) or {}
        if (note.get("fingerprint"), note.get("recipe")) == (fingerprint, RECIPE):
            return file.with_suffix(".safetensors")
    return None


def _train(data: ImageData, *, file: Path, cache_dir: str) -> dict[str, Tensor]:
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    console.print(
        f"ganvas: features: training a classifier of {data.name} once, about a minute …", end=""
    )
    trained = train_classifier(data, cache_dir=cache_dir)
    with writing_to(file.parent):
        write_classifier(file, trained, name=data.name, command="features=classifier")
    console.print(f" {describe(trained)}")
    return trained.weights
