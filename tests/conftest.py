"""Keeps tests away from the user's folders, from the network and from each other's random state."""

from __future__ import annotations

import os
import random
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

MNIST_FILE = Path("MNIST", "raw", "train-images-idx3-ubyte")
LOCAL_HOSTS = {None, "", "localhost", "::1", "0.0.0.0", "::", socket.gethostname()}
# Set by `seed_everything` and by deterministic mode; a later test must not inherit them.
VOLATILE_VARIABLES = ("PL_GLOBAL_SEED", "PL_SEED_WORKERS", "CUBLAS_WORKSPACE_CONFIG")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    data_dir = os.environ.get("GANVAS_DATA_DIR")
    if data_dir and (Path(data_dir) / MNIST_FILE).exists():
        return
    where = f"GANVAS_DATA_DIR={data_dir or '(not set)'}"
    skip = pytest.mark.skip(reason=f"no {MNIST_FILE} under {where}")
    for item in items:
        if item.get_closest_marker("mnist"):
            item.add_marker(skip)


@pytest.fixture(scope="session", autouse=True)
def _own_folders(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Runs and caches go to temporary folders, one cache per test process; W&B stays offline."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GANVAS_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))
        patch.setenv("GANVAS_RUNS_DIR", str(tmp_path_factory.mktemp("runs")))
        patch.setenv("WANDB_MODE", "offline")
        patch.setenv("WANDB_SILENT", "true")
        patch.setenv("WANDB_DIR", str(tmp_path_factory.mktemp("wandb")))
        patch.delenv("WANDB_API_KEY", raising=False)
        patch.delenv("GANVAS_FULL_ERROR", raising=False)
        yield


def _refuse_if_remote(host: object) -> None:
    name = host.decode() if isinstance(host, bytes) else host
    if name not in LOCAL_HOSTS and not str(name).startswith("127."):
        raise socket.gaierror(f"tests have no network (asked for {name!r})")


@pytest.fixture(scope="session", autouse=True)
def _no_network() -> Iterator[None]:
    """Every name but this machine's fails to resolve, as on a machine without a network."""
    resolve, connect = socket.getaddrinfo, socket.socket.connect

    def local_getaddrinfo(host: object, *args: object, **kwargs: object) -> object:
        _refuse_if_remote(host)
        return resolve(host, *args, **kwargs)

    def local_connect(self: socket.socket, address: object) -> None:
        if isinstance(address, tuple):
            _refuse_if_remote(address[0])
        connect(self, address)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket, "getaddrinfo", local_getaddrinfo)
        patch.setattr(socket.socket, "connect", local_connect)
        yield


@pytest.fixture(autouse=True)
def _same_state_after() -> Iterator[None]:
    """Puts back random generators and deterministic mode, without importing torch for them."""
    variables = {name: os.environ.get(name) for name in VOLATILE_VARIABLES}
    python_state = random.getstate()
    torch = sys.modules.get("torch")
    numpy = sys.modules.get("numpy")
    torch_state = torch.get_rng_state() if torch else None
    numpy_state = numpy.random.get_state() if numpy else None
    yield
    random.setstate(python_state)
    if numpy:
        numpy.random.set_state(numpy_state)
    if torch:
        torch.set_rng_state(torch_state)
    if torch := sys.modules.get("torch"):
        torch.use_deterministic_algorithms(False)
    for name, value in variables.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
