"""The `dataset` group: what its keys may be, and that its source is one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ganvas.engine.targets import check_arguments, check_node
from ganvas.engine.values import brief
from ganvas.errors import ConfigError

DATA_ONLY_IN_SOURCE = frozenset({"root", "image_size", "source"})

_OF_A_SOURCE = frozenset({"image_shape", "num_classes", "count", "fingerprint", "read"})


def check_dataset(node: dict[str, Any], trust: Sequence[str]) -> None:
    """The `dataset` group: its source and the arguments of `ImageData`."""
    from ganvas.data import ImageData

    source = node.get("source")
    if not isinstance(source, dict) or "_target_" not in source:
        raise ConfigError(f"dataset.source: must name a data set by _target_, got {source!r}")
    if "cache_dir" in node:
        raise ConfigError("`dataset.cache_dir`: no such key; set paths.cache_dir")
    check_node(source, key="dataset.source", trust=trust)
    for key, kind in (("root", str), ("image_size", int)):
        if type(node.get(key)) not in (kind, type(None)):
            raise ConfigError(f"dataset.{key}: takes {kind.__name__}, got {brief(node[key])}")
    kept = {k: v for k, v in node.items() if k not in DATA_ONLY_IN_SOURCE}
    check_arguments(ImageData, kept, key="dataset", given=["source", "cache_dir"])


def check_source(source: Any) -> None:
    """What `dataset.source` built is an `ImageSource`; nothing of it is called.

    Raises:
        ConfigError: if it lacks one of its methods.
    """
    if lacks := _OF_A_SOURCE - set(dir(source)):
        raise ConfigError(
            "dataset.source: must name a data set of ganvas by _target_, got "
            f"{type(source).__name__}, which has no {', '.join(sorted(lacks))}; wrap a torch data "
            "set in ganvas.data.sources.FromDataset"
        )
