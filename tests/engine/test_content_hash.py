"""One hash for one content, in memory and on disk, and another for any other content."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
import torch

from ganvas.engine.checkpoint_files import AtomicCheckpointIO, read_checkpoint
from ganvas.engine.content_hash import content_hash
from ganvas.errors import CheckpointError

CONTENT: dict[str, Any] = {
    "state_dict": {
        "w": torch.arange(6.0).reshape(2, 3),
        "half": torch.tensor([1.5, -0.0], dtype=torch.bfloat16),
        "count": torch.tensor(3),
        "none": torch.zeros(0, 4),
        "flags": torch.tensor([True, False]),
    },
    "numbers": [1, 1.0, float("inf"), None, True, "1"],
}


def changed(path: tuple[Any, ...], value: Any) -> dict[str, Any]:
    """The content with another value at a place."""
    content = {**CONTENT, "state_dict": dict(CONTENT["state_dict"])}
    content["numbers"] = list(CONTENT["numbers"])
    node: Any = content
    for key in path[:-1]:
        node = node[key]
    node[path[-1]] = value
    return content


OTHERS = [
    changed(("state_dict", "w"), torch.arange(6.0).reshape(3, 2)),
    changed(("state_dict", "w"), torch.arange(6.0).reshape(2, 3).double()),
    changed(("state_dict", "w"), torch.arange(6.0).reshape(2, 3).nextafter(torch.tensor(9.0))),
    changed(("state_dict", "half"), torch.tensor([1.5, 0.0], dtype=torch.bfloat16)),
    changed(("state_dict", "none"), torch.zeros(4, 0)),
    changed(("state_dict", "more"), torch.zeros(1)),
    changed(("numbers", 0), 1.0),
    changed(("numbers", 3), "None"),
    changed(("numbers", 4), 1),
    changed(("numbers",), [*CONTENT["numbers"], None]),
    changed(("numbers",), [CONTENT["numbers"]]),
]


def test_the_same_content() -> None:
    reordered = OrderedDict(reversed(CONTENT.items())) | {"numbers": tuple(CONTENT["numbers"])}
    reordered["state_dict"] = dict(reversed(CONTENT["state_dict"].items()))
    reordered["state_dict"]["w"] = CONTENT["state_dict"]["w"].T.contiguous().T
    assert not reordered["state_dict"]["w"].is_contiguous()
    assert content_hash(reordered) == content_hash(CONTENT)


def test_other_contents() -> None:
    hashes = [content_hash(other) for other in [CONTENT, *OTHERS]]
    assert len(set(hashes)) == len(hashes)


def test_a_file_has_the_hash_of_its_content(tmp_path: Path) -> None:
    file = tmp_path / "last.ckpt"
    AtomicCheckpointIO({"config": {"seed": 0}}).save_checkpoint(CONTENT, file)
    found = read_checkpoint(file)
    assert found["ganvas_hashes"]["weights"] == content_hash(CONTENT["state_dict"])
    assert found["ganvas_identity"] == {"config": {"seed": 0}}
    assert "ganvas_hashes" not in CONTENT
    assert [path.name for path in tmp_path.iterdir()] == ["last.ckpt"]


@pytest.mark.parametrize("other", OTHERS)
def test_a_file_whose_content_is_not_that_of_its_hash(tmp_path: Path, other: Any) -> None:
    """As after damage that leaves the archive whole."""
    file = tmp_path / "last.ckpt"
    AtomicCheckpointIO().save_checkpoint(CONTENT, file)
    hashes = torch.load(file, weights_only=True)["ganvas_hashes"]
    torch.save({**other, "ganvas_identity": {}, "ganvas_hashes": hashes}, file)
    with pytest.raises(CheckpointError, match="is damaged or truncated"):
        read_checkpoint(file)


def test_every_flipped_bit_of_a_weight_is_seen(tmp_path: Path) -> None:
    file = tmp_path / "last.ckpt"
    weights = torch.linspace(1, 2, 64)
    AtomicCheckpointIO().save_checkpoint({"state_dict": {"w": weights}}, file)
    whole = file.read_bytes()
    place = whole.index(weights.numpy().tobytes())
    for offset in (0, 101, 255):
        damaged = bytearray(whole)
        damaged[place + offset] ^= 1
        file.write_bytes(damaged)
        with pytest.raises(CheckpointError, match="is damaged or truncated"):
            read_checkpoint(file)
    file.write_bytes(whole)
    torch.testing.assert_close(read_checkpoint(file)["state_dict"]["w"], weights, rtol=0, atol=0)


def test_a_write_that_fails_leaves_the_old_checkpoint(tmp_path: Path) -> None:
    file, store = tmp_path / "a.ckpt", AtomicCheckpointIO()
    store.save_checkpoint({"state_dict": {"w": torch.ones(2)}}, file)
    with pytest.raises(Exception, match=r"pickle|local object"):
        store.save_checkpoint({"state_dict": lambda: None}, file)
    assert [p.name for p in tmp_path.iterdir()] == ["a.ckpt"]
    torch.testing.assert_close(read_checkpoint(file)["state_dict"]["w"], torch.ones(2))
    assert sorted(read_checkpoint(file)) == ["ganvas_hashes", "ganvas_identity", "state_dict"]


def test_a_set_has_no_order() -> None:
    """Of text it has another one in each process; of these, one that is made as they came."""
    assert list({0, 8}) != list({8, 0})
    assert content_hash({0, 8}) == content_hash({8, 0}) != content_hash({0, 9})
