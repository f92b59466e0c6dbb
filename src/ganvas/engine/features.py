"""The `features` group: a frozen network, and where its weights come from.

The weights of our own networks are shipped with the package, or cached from an earlier use, or
trained now: always for exactly these images, by their fingerprint. Inception's are a published
file. Any other network brings its own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import yaml
from torch import Tensor, nn

from ganvas.data.tensor_file import read_note, read_tensors
from ganvas.data.weights_file import weights_file
from ganvas.engine import autoencoder
from ganvas.engine.autoencoder import train_autoencoder
from ganvas.engine.classifier import RECIPE, WEIGHTS_DIR, train_classifier
from ganvas.engine.recipe import cached_weights
from ganvas.errors import ConfigError, DataError, GanvasError
from ganvas.nn.bottleneck import Bottleneck
from ganvas.nn.classifier import ConvClassifier
from ganvas.nn.extractor import Extractor
from ganvas.nn.frozen import Frozen
from ganvas.nn.inception import Inception
from ganvas.paths import config_dir
from ganvas.types import POINT_SHAPE

if TYPE_CHECKING:
    from ganvas.data import ImageData
    from ganvas.engine.settings import Paths


def build_features(build: Callable[[], Any], data: ImageData, *, paths: Paths | None) -> Frozen:
    """The network of the `features` group, frozen.

    The global random state is as before, so that a model's own weights do not depend on what
    measures it. On the meta device nothing is read or trained.

    Args:
        build: makes the network.
        data: whose images it is trained on, where it is one of ours.
        paths: where weights are kept; None where a checkpoint will bring them, so that none are
            looked for.

    Raises:
        ConfigError: if it is no network, or made for images of another shape.
        DataError: if the images or the published weights can't be read, or the cache not be
            written.
    """
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)  # of a network without weights: the same each time
        network = build()
    if not isinstance(network, nn.Module):
        raise ConfigError(
            f"features: must name a network by _target_, got {type(network).__name__}"
        )
    on_meta = torch.get_default_device().type == "meta"
    if paths is not None and not on_meta and (weights := _weights(network, data, paths)):
        try:
            network.load_state_dict(weights)
        except RuntimeError as error:
            raise ConfigError(
                f"features: the weights for {data.name} don't fit a network of other shapes; leave "
                "image_shape and num_classes to the data"
            ) from error
    return Frozen(network)


def _weights(network: nn.Module, data: ImageData, paths: Paths) -> dict[str, Tensor] | None:
    """Those of our own networks; None for others."""
    if type(network) is ConvClassifier:
        return classifier_weights(data, cache_dir=paths.cache_dir)
    if type(network) is Bottleneck:
        return autoencoder_weights(data, cache_dir=paths.cache_dir)
    if type(network) is Inception:
        return inception_weights(paths.weights_dir)
    return None


def build_extractor(
    build: Callable[[], Any],
    data: ImageData,
    *,
    layer: str | None,
    paths: Paths,
    arguments: Mapping[str, Any],
) -> Extractor:
    """As `build_features`, for metrics; two images have passed.

    Raises:
        ConfigError: also if there is no such layer, or the network can't take the images.
    """
    features = build_features(build, data, paths=paths)
    try:
        extractor = Extractor(features, layer=layer, arguments=arguments)
    except ValueError as error:
        raise ConfigError(f"evaluation.layer={layer}: {error}") from error
    _try_out(extractor, data)
    return extractor


def _try_out(extractor: Extractor, data: ImageData) -> None:
    """Pass two images, so that a network that can't take them is refused before any work."""
    num = 2 * torch.Size(data.image_shape).numel()
    images = torch.linspace(0, 1, num).view(2, *data.image_shape)
    try:
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            extractor(images)
    except GanvasError:
        raise
    except Exception as error:  # of whatever kind a user's code raises
        if images.is_meta and "meta" in str(error):
            return  # it needs the values of pixels: seen when there are any
        shape, reason = "×".join(map(str, data.image_shape)), " ".join(str(error).split())
        raise ConfigError(
            f"features: {extractor.name} can't take images of {shape} ({reason}); choose another "
            "network"
        ) from error


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
    """The weights of the classifier for these images; trained first where there are none."""
    if (shipped := shipped_file(data.fingerprint)) is not None:
        weights = read_tensors(shipped)
        if weights is not None:
            return weights
    return cached_weights("classifier", RECIPE, data, cache_dir=cache_dir, train=train_classifier)


def autoencoder_weights(data: ImageData, *, cache_dir: str) -> dict[str, Tensor]:
    """The weights of the autoencoder's encoder, likewise; none are shipped."""
    return cached_weights(
        "autoencoder", autoencoder.RECIPE, data, cache_dir=cache_dir, train=train_autoencoder
    )


def inception_weights(weights_dir: str) -> dict[str, Tensor]:
    """Those of the published file, found in `weights_dir` or downloaded to it.

    Raises:
        DataError: if there is no such file and it can't be downloaded, or it is damaged.
    """
    from torch_fidelity.feature_extractor_inceptionv3 import URL_INCEPTION_V3

    name = URL_INCEPTION_V3.rpartition("/")[2]
    digits = name.removesuffix(".pth").rpartition("-")[2]
    file = weights_file(name, weights_dir=weights_dir, url=URL_INCEPTION_V3, sha256_prefix=digits)
    try:
        return dict(torch.load(file, map_location="cpu", weights_only=True))
    except Exception as error:
        raise DataError(f"{file}: holds no weights of the Inception network ({error})") from error


def shipped_file(fingerprint: str) -> Path | None:
    """The weights in the package for images of this fingerprint, if any."""
    for file in sorted(WEIGHTS_DIR.glob("*.json")):
        note = read_note(file) or {}
        if (note.get("fingerprint"), note.get("recipe")) == (fingerprint, RECIPE):
            return file.with_suffix(".safetensors")
    return None
