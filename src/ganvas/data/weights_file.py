"""Files of published weights: found in `paths.weights_dir`, or else downloaded to it."""

from __future__ import annotations

import hashlib
from pathlib import Path

from ganvas.data.sources.array_set import downloading
from ganvas.errors import DataError


def weights_file(name: str, *, weights_dir: str | Path, url: str, sha256_prefix: str) -> Path:
    """The file of this name, whole: the first digits of its SHA-256 are as its publisher says.

    A download is written beside its place and moved there once its hash is right. A silent server
    fails after ten seconds; of several processes one downloads.

    Args:
        name: of the file.
        weights_dir: where it is or shall be.
        url: where it is published.
        sha256_prefix: first digits of its hash, by habit the last part of its name.

    Raises:
        DataError: if it is absent and can't be downloaded, unreadable, or its hash is another one.
    """
    folder = Path(weights_dir).expanduser()
    file = folder / name
    if not file.is_file():
        _download(file, url=url, sha256_prefix=sha256_prefix)
    try:
        with file.open("rb") as content:
            found = hashlib.file_digest(content, "sha256").hexdigest()
    except OSError as error:
        raise DataError(f"{file}: can't be read ({error.strerror})") from error
    if not found.startswith(sha256_prefix):
        raise DataError(
            f"{file}: damaged or another file: its SHA-256 must begin with {sha256_prefix}, got "
            f"{found[: len(sha256_prefix)]}; delete it, so that it is downloaded again"
        )
    return file


def _download(file: Path, *, url: str, sha256_prefix: str) -> None:
    from torch.hub import download_url_to_file

    remedy = (
        f"put it there from {url} (its SHA-256 begins with {sha256_prefix}), or set "
        "paths.weights_dir to the folder that has it"
    )
    with downloading(file.name, root=file.parent, remedy=remedy):
        if not file.is_file():  # another process may have been faster
            download_url_to_file(url, str(file), sha256_prefix, progress=False)
