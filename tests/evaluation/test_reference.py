"""Statistics of real images: what they depend on, and what the cache survives."""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from evaluation.subjects import InMemory, classifier, image_data, random_images, subject
from ganvas.errors import DataError, GanvasWarning
from ganvas.evaluation.reference import Reference
from ganvas.evaluation.subject import Options, Subject
from ganvas.nn.extractor import Extractor
from ganvas.nn.frozen import Frozen
from models.tiny import vae


class Counted(nn.Module):
    """Features that are pixels, and how often it was asked."""

    name, transform = "counted", "none"

    def __init__(self, log: Path | None = None, *, seconds: float = 0) -> None:
        super().__init__()
        self.calls, self.log, self.seconds = 0, log, seconds

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        time.sleep(self.seconds)
        if self.log is not None:
            with self.log.open("a") as file:
                file.write("asked\n")
        return x.flatten(1)


def reference(folder: Path | None, *, log: Path | None = None, seconds: float = 0) -> Reference:
    images = torch.from_numpy(random_images(20))
    return Reference(
        "content",
        extractor=Extractor(Frozen(Counted(log, seconds=seconds))),
        images=lambda: iter(images.split(8)),
        folder=folder,
    )


def calls(one: Reference) -> int:
    return one._extractor.network.network.calls  # type: ignore[return-value, union-attr]


def equal(one: Reference, other: Reference) -> bool:
    pairs = [(one.features.vectors, other.features.vectors), *zip(
        one.moments.tensors.values(), other.moments.tensors.values(), strict=True
    )]  # fmt: skip
    return all(torch.equal(a, b) for a, b in pairs)


def test_a_hit_asks_no_network(tmp_path: Path) -> None:
    first = reference(tmp_path)
    first.moments  # noqa: B018
    assert calls(first) == 3
    again = reference(tmp_path)
    assert equal(first, again)
    assert calls(again) == 0
    assert equal(first, reference(None))
    root = again.moments.root
    assert root is not None
    torch.testing.assert_close(root @ root.T, torch.cov(again.features.vectors.double().T))


def brighter(source: InMemory) -> InMemory:
    source.test[3, 0, 1, 2] ^= 1
    return source


def weights(value: float) -> Extractor:
    network = classifier()
    network.conv1.weight.data[0, 0, 0, 0] += value  # type: ignore[operator, union-attr, index]
    return Extractor(Frozen(network))


class Resized(nn.Module):
    """A network that says how it transforms images."""

    name = "resized"

    def __init__(self, transform: str) -> None:
        super().__init__()
        self.transform = transform

    def extract(self, x: Tensor) -> Any:
        raise NotImplementedError


CHANGES: dict[str, Callable[[], Subject]] = {
    "nothing": lambda: subject(vae(), num=20),
    "a pixel": lambda: subject(vae(), image_data(brighter(InMemory())), num=20),
    "the count": lambda: subject(vae(), num=21),
    "the split": lambda: subject(vae(), num=20, reference="train"),
    "the quantiser": lambda: subject(vae(), num=20, quantize=False),
}


@pytest.mark.parametrize("change", [name for name in CHANGES if name != "nothing"])
def test_changed_images_miss_the_cache(change: str) -> None:
    key = CHANGES["nothing"]().reference().key
    assert CHANGES["nothing"]().reference().key == key
    assert CHANGES[change]().reference().key != key


def test_a_pixel_beyond_those_compared_is_no_change() -> None:
    source = InMemory()
    source.test[30] ^= 1
    key = subject(vae(), image_data(source), num=20).reference().key
    assert key == CHANGES["nothing"]().reference().key


def test_a_changed_network_misses_the_cache() -> None:
    def key(extractor: Extractor) -> str:
        return Reference("c", extractor=extractor, images=lambda: iter(()), folder=None).key

    layers = [Extractor(Frozen(classifier()), layer=name) for name in ("relu3", "relu4")]
    changed = [weights(0.0), weights(1e-6), *layers]
    changed += [Extractor(Frozen(Resized(text))) for text in ("to 299", "to 299, antialiased")]
    assert len({key(extractor) for extractor in changed}) == len(changed)
    assert key(weights(0.0)) == key(weights(0.0))
    assert key(Extractor(Frozen(classifier()), layer=None)) == key(weights(0.0))


@pytest.mark.parametrize("name", ["features", "moments"])
def test_a_damaged_file_is_made_again_with_a_warning(tmp_path: Path, name: str) -> None:
    whole = reference(tmp_path)
    whole.moments  # noqa: B018
    (file,) = tmp_path.rglob(f"{name}.safetensors")
    content = file.read_bytes()
    for damaged in (content[:-5], content[:-1] + b"x", b""):
        file.write_bytes(damaged)
        with pytest.warns(GanvasWarning, match="damaged .* it is made again"):
            assert equal(reference(tmp_path), whole)
        assert file.read_bytes() == content
    file.with_suffix(".json").write_text('{"sha')
    with pytest.warns(GanvasWarning, match=r"json: damaged \(no JSON record\); it is made again"):
        assert equal(reference(tmp_path), whole)


def _unwritable(folder: Path) -> Iterator[Path]:
    (folder / "a file").write_text("")
    yield folder / "a file" / "statistics"
    if os.geteuid() != 0:  # for whom no folder is read-only
        (folder / "locked").mkdir(mode=0o500)
        yield folder / "locked" / "statistics"


def test_a_cache_that_cannot_be_written_is_done_without(tmp_path: Path) -> None:
    for folder in _unwritable(tmp_path):
        one = reference(folder)
        with pytest.warns(GanvasWarning, match="the cache can't be written .*computed anew"):
            assert equal(one, reference(None))
        assert calls(one) == 3


def test_a_full_disk_does_not_cost_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("ganvas.evaluation.reference.write_tensors", full)
    one = reference(tmp_path)
    with pytest.warns(GanvasWarning, match="No space left on device"):
        assert equal(one, reference(None))
    assert calls(one) == 3


def test_an_error_in_the_making_is_not_hidden(tmp_path: Path) -> None:
    def fail() -> dict[str, Tensor]:
        raise DataError("no images")

    with pytest.raises(DataError, match="no images"):
        reference(tmp_path).kept("x", fail)


def test_of_two_at_once_one_computes(tmp_path: Path) -> None:
    log = tmp_path / "log"  # locks are between open files: threads stand for processes
    both = [reference(tmp_path, log=log, seconds=0.05) for _ in range(2)]
    with ThreadPoolExecutor() as pool:
        one, other = pool.map(lambda each: each.moments.covariance, both)
    assert torch.equal(one, other)
    assert log.read_text().count("asked") == 3


def ask(folder: Path, log: Path, answers: Any) -> None:
    answers.put(np.asarray(reference(folder, log=log, seconds=0.05).moments.covariance))


@pytest.mark.slow
def test_of_two_processes_one_computes(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    answers, log = context.Queue(), tmp_path / "log"
    both = [context.Process(target=ask, args=(tmp_path, log, answers)) for _ in range(2)]
    for process in both:
        process.start()
    found = [answers.get(timeout=120) for _ in both]
    for process in both:
        process.join(timeout=60)
    assert np.array_equal(*found)
    assert log.read_text().count("asked") == 3


HELPED = """
from torch import nn
import {helper}

class Net(nn.Module):
    def forward(self, x):
        return {helper}.FACTOR * x.flatten(1)
"""


def test_what_a_users_network_imports_changes_the_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The code of the network is the same; only what it calls differs."""
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "helper_of_net.py").write_text("FACTOR = 1.0")
    (tmp_path / "helped_net.py").write_text(HELPED.format(helper="helper_of_net"))
    import helped_net  # type: ignore[import-not-found]
    import helper_of_net  # type: ignore[import-not-found]

    def key() -> str:
        extractor = Extractor(Frozen(helped_net.Net()))
        one = Subject(vae(), image_data(), split="test", options=Options(), extractor=extractor)
        return one.reference().key

    first = key()
    assert key() == first
    monkeypatch.setattr(helper_of_net, "FACTOR", 2.0)
    assert key() != first
