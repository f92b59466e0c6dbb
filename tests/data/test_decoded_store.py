"""The decoded images on disk: found again, noticed when changed, rebuilt when damaged."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from data_helpers import Numbered, pixels, save

from ganvas.data import ImageData
from ganvas.data import store as store_module
from ganvas.data.content import content_hash, file_set
from ganvas.data.sources import ImageFolder
from ganvas.errors import DataError


def opened(cache: Path, source: Numbered | None = None) -> tuple[ImageData, Numbered]:
    source = source or Numbered()
    data = ImageData(source, batch_size=4, cache_dir=cache)
    data.prepare()
    return data, source


def all_pixels(data: ImageData) -> torch.Tensor:
    loader = data.loader("test", value_range=(0.0, 255.0), seed=0)
    return torch.cat([batch.x for batch in loader])


def store_folder(cache: Path) -> Path:
    (meta,) = cache.glob("datasets/*/meta.json")
    return meta.parent


def test_second_opening_reads_no_source(tmp_path: Path) -> None:
    first, source = opened(tmp_path)
    assert source.reads == 2
    second, source = opened(tmp_path)
    assert source.reads == 0
    assert torch.equal(all_pixels(first), all_pixels(second))
    names = sorted(path.name for path in store_folder(tmp_path).iterdir())
    assert names == [
        "meta.json",
        "test-images.npy",
        "test-labels.npy",
        "train-images.npy",
        "train-labels.npy",
    ]


def test_other_content_has_another_store(tmp_path: Path) -> None:
    opened(tmp_path)
    _, other = opened(tmp_path, Numbered(num_train=21))
    assert other.reads == 2
    assert len(list(tmp_path.glob("datasets/*/meta.json"))) == 2


def test_large_stores_are_memory_mapped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small, _ = opened(tmp_path)
    monkeypatch.setattr(store_module, "IN_MEMORY_BYTES", 10)
    mapped, source = opened(tmp_path)
    assert source.reads == 0
    assert torch.equal(all_pixels(small), all_pixels(mapped))
    assert mapped._store is not None
    base = mapped._store.train.images
    while isinstance(base, np.ndarray) and not isinstance(base, np.memmap):
        base = base.base  # type: ignore[assignment]
    assert isinstance(base, np.memmap)


def _truncate(folder: Path) -> None:
    path = folder / "train-images.npy"
    path.write_bytes(path.read_bytes()[:-7])


def _flip_bits(folder: Path) -> None:
    path = folder / "train-images.npy"
    content = bytearray(path.read_bytes())
    content[-1] ^= 255
    path.write_bytes(bytes(content))


def _spoil_meta(folder: Path) -> None:
    (folder / "meta.json").write_text("{")


def _empty_meta(folder: Path) -> None:
    (folder / "meta.json").write_text("{}")


def _foreign_meta(folder: Path) -> None:
    (folder / "meta.json").write_text("[]")


def _remove_labels(folder: Path) -> None:
    (folder / "test-labels.npy").unlink()


def _other_shape(folder: Path) -> None:
    path = folder / "train-images.npy"
    np.save(path, np.zeros((20, 1, 2, 8), dtype=np.uint8))


@pytest.mark.parametrize(
    "damage",
    [
        _truncate,
        _flip_bits,
        _spoil_meta,
        _empty_meta,
        _foreign_meta,
        _remove_labels,
        _other_shape,
    ],
)
def test_damaged_store_is_built_again_with_a_warning(tmp_path: Path, damage) -> None:  # type: ignore[no-untyped-def]  # noqa: ANN001
    whole, _ = opened(tmp_path)
    damage(store_folder(tmp_path))
    with pytest.warns(UserWarning, match="damaged cache .* built again"):
        again, source = opened(tmp_path)
    assert source.reads == 2
    assert torch.equal(all_pixels(whole), all_pixels(again))
    _, source = opened(tmp_path)
    assert source.reads == 0


def test_source_that_breaks_its_promise_is_refused(tmp_path: Path) -> None:
    class Wrong(Numbered):
        def read(self, split):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
            images, labels = super().read(split)
            return self.spoil(images, labels)

    cases = {
        r"uint8 \(N, 1, 4, 4\), or float32 in \[0, 1\], got float64": lambda x, y: (x * 1.0, y),
        r"float32 in \[0, 1\], got uint8 \(20, 4, 4\)": lambda x, y: (x[:, 0], y),
        r"float32 must be in \[0, 1\]": lambda x, y: (x.astype(np.float32), y),
        r"of float32 must be": lambda x, y: (x * np.float32(np.nan), y),
        r"float32 must be in": lambda x, y: (x * np.float32(-1e-3), y),
        r"labels must be integers \(20,\), got int64 \(19,\)": lambda x, y: (x, y[1:]),
        r"labels must be integers \(20,\), got float64": lambda x, y: (x, y * 1.0),
        r"labels must be at least 0, got -1": lambda x, y: (x, y - 1),
    }
    for message, spoil in cases.items():
        source = Wrong()
        source.spoil = spoil  # type: ignore[attr-defined]
        with pytest.raises(DataError, match=message):
            opened(tmp_path, source)
    assert not list(tmp_path.glob("datasets/*/meta.json"))
    assert not list(tmp_path.glob("datasets/*tmp*"))


def test_unwritable_cache_is_said(tmp_path: Path) -> None:
    (tmp_path / "datasets").write_text("a file where the folder should be")
    with pytest.raises(DataError, match=r"the cache can't be written .*paths.cache_dir"):
        opened(tmp_path)


def test_changed_file_is_noticed(tmp_path: Path) -> None:
    for index in range(6):
        save(tmp_path / f"raw/{index}.png", pixels(8, value=10 * index))

    def fingerprint() -> str:
        source = ImageFolder(tmp_path / "raw", image_size=8, test_size=2)
        return ImageData(source, batch_size=2, cache_dir=tmp_path / "cache").fingerprint

    first = fingerprint()
    assert first == fingerprint()
    save(tmp_path / "raw/3.png", pixels(8, value=99))
    changed = fingerprint()
    assert changed != first
    save(tmp_path / "raw/3.png", pixels(8, value=30))
    assert fingerprint() == first
    (tmp_path / "raw/3.png").rename(tmp_path / "raw/9.png")
    assert fingerprint() not in (first, changed)


def test_hash_is_remembered_for_settled_files_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw, memo = tmp_path / "raw", tmp_path / "memo"
    raw.mkdir()
    (raw / "a").write_bytes(b"one")
    files = file_set(raw, ["a"])
    first = content_hash(files, memo_dir=memo)
    assert not memo.exists()  # written less than two seconds ago

    monkeypatch.setattr("ganvas.data.content._SETTLED_NS", -1)
    assert content_hash(files, memo_dir=memo) == first
    monkeypatch.setattr("ganvas.data.content._hash_file", lambda _path: "not asked")
    assert content_hash(files, memo_dir=memo) == first
    (raw / "a").write_bytes(b"two")
    assert content_hash(files, memo_dir=memo) != first

    (entry,) = memo.iterdir()
    entry.write_text(json.dumps([]))  # a spoilt memo is no more than a lost one
    assert content_hash(files, memo_dir=memo) != first


_DECODE = """
import sys, time
from pathlib import Path
from ganvas.data import ImageData, decode
from ganvas.data.sources import ImageFolder

root, cache, pause = Path(sys.argv[1]), sys.argv[2], float(sys.argv[3])
plain = decode.read_image

def slow(path, *, fit):
    (root.parent / "begun").touch()
    time.sleep(pause)
    return plain(path, fit=fit)

decode.read_image = slow
data = ImageData(ImageFolder(root, image_size=8, test_size=4), batch_size=2, cache_dir=cache)
data.prepare()
print(data.fingerprint, int(data._store.train.images.astype("int64").sum()))
"""


def start(tmp_path: Path, *, pause: float) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", _DECODE, str(tmp_path / "raw"), str(tmp_path / "cache")]
    return subprocess.Popen(
        [*command, str(pause)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def test_killed_decode_starts_clean_and_two_at_once_agree(tmp_path: Path) -> None:
    for index in range(40):
        save(tmp_path / f"raw/{index}.png", pixels(8, value=6 * index))
    victim = start(tmp_path, pause=60)
    while not (tmp_path / "begun").exists():
        assert victim.poll() is None, victim.communicate()
        time.sleep(0.02)
    os.kill(victim.pid, signal.SIGKILL)
    victim.communicate()
    assert list(tmp_path.glob("cache/datasets/*.tmp-*"))
    assert not list(tmp_path.glob("cache/datasets/*/meta.json"))

    both = [start(tmp_path, pause=0.005) for _ in range(2)]
    outputs = [process.communicate(timeout=60) for process in both]
    assert [process.returncode for process in both] == [0, 0], outputs
    assert outputs[0][0] == outputs[1][0] != ""
    assert len(list(tmp_path.glob("cache/datasets/*/meta.json"))) >= 1
    assert not list(tmp_path.glob("cache/datasets/*.tmp-*"))
