"""Every conf/dataset file: composes, builds without files, and opens with a line for `list`."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from omegaconf import OmegaConf

from ganvas.data import ImageData

CONF = Path(__file__).parents[2] / "conf"
FILES = sorted((CONF / "dataset").glob("*.yaml"))
NAMES = [path.stem for path in FILES if not path.stem.startswith("_")]


def build(name: str, data_dir: Path) -> ImageData:
    """As the engine does it."""
    with initialize_config_dir(str(CONF), version_base=None):
        config = compose(overrides=[f"+dataset={name}", f"+paths.data_dir={data_dir}"])
    node = OmegaConf.to_container(config.dataset, resolve=True)
    assert isinstance(node, dict)
    source = instantiate(node.pop("source"))
    options = {str(key): value for key, value in node.items() if key not in ("root", "image_size")}
    return ImageData(source, **options)


def test_all_promised_sets_are_there() -> None:
    assert (
        sorted(
            [
                *("arrays", "celeba", "cifar10", "cifar100", "digits", "dsprites"),
                *("fashion_mnist", "image_folder", "kmnist", "mixture2d", "mnist"),
                *("sprites", "stl10", "svhn"),
            ]
        )
        == NAMES
    )


@pytest.mark.parametrize("name", NAMES)
def test_config_builds_without_files(name: str, tmp_path: Path) -> None:
    data = build(name, tmp_path)
    assert data.name == name
    if name != "arrays":  # its shape is in the file
        assert data.image_shape[1] == data.image_shape[2]
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_first_line_says_what_it_is(path: Path) -> None:
    first = path.read_text().splitlines()[0]
    assert first.startswith("# ")
    assert len(first) <= 110
    if path.stem not in ("_base", "arrays", "image_folder"):
        assert re.search(r"\(.+ (19|20)\d\d\)$", first)


def test_default_set_prepares(tmp_path: Path) -> None:
    data = build("digits", tmp_path)
    data.prepare()
    assert data.counts == {"train": 1350, "val": 150, "test": 297}
    assert data.steps_per_epoch() == 27
