"""Published weights: found, downloaded whole, or refused with the file's name and hash."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from ganvas.data.weights_file import weights_file
from ganvas.errors import DataError

CONTENT = b"some weights"
HASH = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def url(tmp_path: Path) -> str:
    """Of a published file."""
    file = tmp_path / "published"
    file.write_bytes(CONTENT)
    return file.as_uri()


def wanted(folder: Path, url: str, *, sha256_prefix: str = HASH[:8]) -> Path:
    return weights_file("net.pth", weights_dir=folder, url=url, sha256_prefix=sha256_prefix)


def test_a_file_that_is_there_is_used_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "net.pth").write_bytes(CONTENT)
    assert wanted(tmp_path, "no://where") == tmp_path / "net.pth"
    assert [p.name for p in tmp_path.iterdir()] == ["net.pth"]


def test_an_absent_file_is_downloaded_once(tmp_path: Path, url: str) -> None:
    file = wanted(tmp_path / "weights", url)
    assert file.read_bytes() == CONTENT
    (tmp_path / "published").unlink()
    assert wanted(tmp_path / "weights", url) == file


def test_another_files_hash_is_refused_with_both(tmp_path: Path) -> None:
    (tmp_path / "net.pth").write_bytes(b"other")
    other = hashlib.sha256(b"other").hexdigest()[:8]
    with pytest.raises(DataError, match=rf"must begin with {HASH[:8]}, got {other}; delete it"):
        wanted(tmp_path, "no://where")


def test_a_download_of_another_hash_leaves_nothing(tmp_path: Path, url: str) -> None:
    with pytest.raises(DataError, match=r"its download failed \(invalid hash value"):
        wanted(tmp_path / "weights", url, sha256_prefix="00000000")
    assert not (tmp_path / "weights").exists()


@pytest.mark.parametrize("url", ["https://no-such-host.invalid/net.pth", "file:///no/such/file"])
def test_where_nothing_can_be_downloaded_the_file_is_named(tmp_path: Path, url: str) -> None:
    rule = rf"net\.pth isn't under .*weights and its download failed .*{url} \(its SHA-256 begins "
    with pytest.raises(DataError, match=rule + rf"with {HASH[:8]}\), or set paths\.weights_dir"):
        wanted(tmp_path / "weights", url)
    assert not (tmp_path / "weights").exists()
