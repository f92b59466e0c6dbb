"""The `features` group: a frozen network, and where its weights come from.

The weights of our own networks are shipped with the package, or cached from an earlier use, or
trained now: always for exactly these images, by their fingerprint.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import yaml
from rich.console import Console
from torch import Tensor, nn

from ganvas.data.content import file_lock, writing_to
from ganvas.data.tensor_file import read_note, read_tensors
from ganvas.engine.classifier import (
    RECIPE,
    WEIGHTS_DIR,
    cache_file,
    describe,
    train_classifier,
    write_classifier,
)
from ganvas.errors import ConfigError
from ganvas.nn.classifier import ConvClassifier
from ganvas.nn.extractor import Extractor
from ganvas.nn.frozen import Frozen
from ganvas.paths import config_dir
from ganvas.types import POINT_SHAPE

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


def build_extractor(
    build: Callable[[], Any], data: ImageData, *, layer: str | None, cache_dir: str | None
) -> Extractor:
    """As `build_features`, for metrics.

    Raises:
        ConfigError: also if there is no such layer.
    """
    features = build_features(build, data, cache_dir=cache_dir)
    try:
        return Extractor(features, layer=layer)
    except ValueError as error:
        raise ConfigError(f"evaluation.layer={layer}: {error}") from error


def default_features(data: ImageData) -> dict[str, Any]:
    """The node of the `features` group that these data call for.

    `classifier` where there are labels, `pixels` for points of the plane, else `autoencoder`.
    """
    if tuple(data.image_shape) == POINT_SHAPE:
        name = "pixels"
    else:
        if data.source.num_classes is None:  # only the files can tell
            data.prepare()
        name = "classifier" if data.num_classes else "autoencoder"
    file = config_dir() / "features" / f"{name}.yaml"
    return dict(yaml.safe_load(file.read_text(encoding="utf-8")))


def classifier_weights(data: ImageData, *, cache_dir: str) -> dict[str, Tensor]:
    """The weights of the classifier for these images; trained first where there are none.

    Any number of processes may ask at once: one trains and the others wait.
    """
    if (shipped := shipped_file(data.fingerprint)) is not None:
        weights = read_tensors(shipped)
        if weights is not None:
            return weights
    file = cache_file(data.fingerprint, cache_dir=cache_dir)
    weights = read_tensors(file)
    if weights is not None:
        return weights
    with file_lock(file.with_suffix(".lock")):
        weights = read_tensors(file)  # another process may have been faster
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
