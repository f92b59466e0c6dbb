"""Classes of the libraries under an allowed kind: each is looked at, what harms is refused."""

from __future__ import annotations

import importlib
import inspect
import pickle
import pkgutil
import re
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
import torch
from payloads import Canary, harms, new_torch

from ganvas.engine.allowed import HARMFUL, is_allowed, places
from ganvas.engine.targets import check_node, import_object
from ganvas.errors import ConfigError

LIBRARIES = [place for place in places() if not place.startswith("ganvas.")]

SUSPECT = re.compile(
    r"torch\.load|torch\.hub|load_state_dict_from_url|(?<!def )from_pretrained\(|pickle\.load|"
    r"subprocess|Process\(|\bPool\(self\.num_|os\.system|socket|\beval\((?!\))|\bexec\(|rmtree|urlopen|urlretrieve|"
    r"import_module|__import__|allow_pickle=True"
)
"""What a class that experiments are made of has no need for."""

JUDGED = {
    "torchvision.datasets.cifar.CIFAR10": "pickle.load",  # of files whose published MD5 it checks
    "torchvision.datasets.cifar.CIFAR100": "pickle.load",
    "torchvision.datasets.mnist.MNIST": "torch.load",  # of tensors alone: weights_only=True
    "torchvision.datasets.mnist.FashionMNIST": "torch.load",
    "torchvision.datasets.mnist.KMNIST": "torch.load",
    "torchvision.datasets.mnist.QMNIST": "torch.load",
    "torchvision.datasets.mnist.EMNIST": "torch.load rmtree",  # of its own archive, checked by MD5
    "torchvision.datasets.phototour.PhotoTour": "torch.load",
    "torchvision.datasets.caltech.Caltech101": "rmtree",  # of what its own archive brought
}
"""What was found and does no harm: data sets read, and when told download, their own files."""


def modules(place: str) -> Iterator[ModuleType]:
    """A package and all that is in it, but what lacks a library of its own."""
    whole = importlib.import_module(place)
    yield whole
    for _, name, _ in pkgutil.walk_packages(getattr(whole, "__path__", []), f"{place}."):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield importlib.import_module(name)


def classes(place: str) -> Iterator[type]:
    """The classes that a place defines and that are let through."""
    for module in modules(place):
        for found in vars(module).values():
            defined = inspect.isclass(found) and found.__module__ == module.__name__
            if defined and is_allowed(found):
                yield found


def source(found: type) -> str:
    """Of a class, its bases in its library, and the functions that compute a metric."""
    library = found.__module__.partition(".")[0]
    bases = [k for k in found.__mro__ if k.__module__.startswith(f"{library}.")]
    bases = [k for k in bases if k.__module__ not in ("torch.nn.modules.module", "torch.nn")]
    text = [text_of(k) for k in bases]
    helpers = {
        f.__module__
        for f in vars(sys.modules[found.__module__]).values()
        if inspect.isfunction(f) and f.__module__.startswith("torchmetrics.functional.")
    }
    text += [inspect.getsource(sys.modules[name]) for name in helpers]
    return re.sub(r'"""(.|\n)*?"""', "", "\n".join(text))


def text_of(found: type) -> str:
    try:
        return inspect.getsource(found)
    except OSError:  # a class whose `__module__` was set by hand
        return ""


def suspicions(found: type) -> set[str]:
    """The words of `SUSPECT` in a class's source that nobody has judged."""
    name = f"{found.__module__}.{found.__qualname__}"
    return set(SUSPECT.findall(source(found))) - set(JUDGED.get(name, "").split())


@pytest.mark.slow
@pytest.mark.parametrize("place", LIBRARIES)
def test_nothing_that_is_let_through_does_more_than_it_should(place: str) -> None:
    allowed = list(classes(place))
    assert allowed, f"{place}: nothing there"
    found = {f"{c.__module__}.{c.__qualname__}": suspicions(c) for c in allowed}
    assert {name: words for name, words in found.items() if words} == {}


def test_the_walk_finds_what_is_harmful() -> None:
    """Two-sided: of what is refused for the harm it does, the walk would have found this."""
    for path in (
        "torchmetrics.image.fid.NoTrainInceptionV3",
        "torchvision.datasets.lsun.LSUNClass",
        "torchvision.datasets.Kinetics",
        "pytorch_lightning.serve.ServableModuleValidator",
    ):
        found = import_object(path, key="x")
        text = source(found) + inspect.getsource(sys.modules[found.__module__])
        assert SUSPECT.search(text) or "feature_extractor_weights_path" in text, path
        assert not is_allowed(found), path


@pytest.mark.parametrize("place", HARMFUL)
def test_each_harmful_module_is_there_and_refused(place: str) -> None:
    module = importlib.import_module(place)
    own = [c for c in vars(module).values() if inspect.isclass(c) and c.__module__ == place]
    assert own
    assert not any(map(is_allowed, own))


# Ways that led from a config to code, each shown to work and to be refused


def through_a_datapipe(folder: Path) -> dict[str, object]:
    """A module that iterates over a pipe that unpickles what lies in a folder."""
    pipes = "torch.utils.data.datapipes.iter"
    files = {"_target_": f"{pipes}.FileLister", "root": str(folder), "masks": "*.pickle"}
    opened = {"_target_": f"{pipes}.FileOpener", "datapipe": files, "mode": "b"}
    decoded = {"_target_": f"{pipes}.RoutedDecoder", "datapipe": opened}
    return {"_target_": "torch.nn.ModuleList", "modules": decoded}


def test_no_pipe_unpickles_a_strangers_file(canary: Canary, tmp_path: Path) -> None:
    folder = tmp_path / "files"
    folder.mkdir()
    (folder / "part.pickle").write_bytes(pickle.dumps(harms(canary.path)["mknod"]))
    node = through_a_datapipe(folder)
    with pytest.raises(ConfigError, match=r"RoutedDecoder` may not be used as a _target_"):
        check_node(node, key="network", trust=())
    assert not canary.hatched()
    from torch.utils.data.datapipes.iter import FileLister, FileOpener, RoutedDecoder

    with warnings.catch_warnings(), pytest.raises(TypeError):  # an open file is no module
        warnings.simplefilter("ignore")
        opened = FileOpener(FileLister(str(folder), "*.pickle"), mode="b")
        torch.nn.ModuleList(RoutedDecoder(opened))  # type: ignore[arg-type]
    assert canary.hatched()


def test_no_metric_unpickles_a_strangers_weights(
    canary: Canary, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "weights.pth"
    file.write_bytes(new_torch(harms(canary.path)["mknod"]))
    node = {
        "_target_": "torchmetrics.image.fid.FrechetInceptionDistance",
        "feature_extractor_weights_path": str(file),
    }
    with pytest.raises(ConfigError, match="may not be used as a _target_"):
        check_node(node, key="metrics.mine", trust=())
    assert not canary.hatched()
    from torch_fidelity import feature_extractor_inceptionv3 as theirs

    extractor = theirs.FeatureExtractorInceptionV3
    monkeypatch.setattr(extractor, "load_state_dict", lambda *_: None)
    with torch.device("meta"):
        extractor("mine", ["64"], feature_extractor_weights_path=str(file))
    assert canary.hatched()
