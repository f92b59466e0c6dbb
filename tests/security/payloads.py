"""Pickles that do harm when they are loaded, each in its own way; the harm is one small file."""

from __future__ import annotations

import builtins
import io
import os
import pickle
import subprocess
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch


@dataclass(frozen=True)
class Canary:
    """A file that is made by a payload, and by nothing else."""

    path: Path

    def hatched(self) -> bool:
        """Whether a payload ran; it is taken away, so that the next one can be told."""
        ran = self.path.exists()
        self.path.unlink(missing_ok=True)
        return ran


class Reduced:
    """An object whose unpickling calls `function`."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return self.call


def harms(canary: Path) -> dict[str, Reduced]:
    """A payload for each way to run code that the issue of pickles is known for."""
    text = f"open({str(canary)!r}, 'w').close()"
    return {
        "os.system": Reduced(os.system, f"touch '{canary}'"),
        "subprocess": Reduced(subprocess.check_call, ["touch", str(canary)]),
        "exec": Reduced(builtins.exec, text),
        "eval": Reduced(builtins.eval, text),
        "mknod": Reduced(os.mknod, str(canary)),
    }


def bare_pickle(content: Any) -> bytes:
    """Only a pickle, with no trace of torch."""
    return pickle.dumps(content)


def old_torch(content: Any) -> bytes:
    """The form of torch before 1.6: pickles one after the other."""
    buffer = io.BytesIO()
    torch.save(content, buffer, _use_new_zipfile_serialization=False)
    return buffer.getvalue()


def new_torch(content: Any) -> bytes:
    """The form of today: a zip with a `data.pkl`."""
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()


def poisoned_zip(content: Any) -> bytes:
    """A good file of torch whose `data.pkl` was exchanged."""
    buffer, good = io.BytesIO(), new_torch({"state_dict": {"w": torch.ones(2)}})
    with zipfile.ZipFile(io.BytesIO(good)) as source, zipfile.ZipFile(buffer, "w") as target:
        for name in source.namelist():
            poison = name.endswith("data.pkl")
            target.writestr(name, pickle.dumps(content) if poison else source.read(name))
    return buffer.getvalue()


def object_array(content: Any) -> bytes:
    """A .npy file of Python objects, which numpy pickles."""
    buffer, array = io.BytesIO(), np.empty(1, dtype=object)
    array[0] = content
    np.save(buffer, array, allow_pickle=True)
    return buffer.getvalue()


def object_arrays(content: Any) -> bytes:
    """A .npz file of them, under every name that a data set is looked up by."""
    buffer, array = io.BytesIO(), np.empty(1, dtype=object)
    array[0] = content
    np.savez(buffer, images=array, imgs=array, x=array, labels=array, allow_pickle=True)
    return buffer.getvalue()


def scripted() -> bytes:
    """An archive of `torch.jit`, which holds code of its own."""
    import warnings

    class Doubled(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return 2 * x

    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.save(torch.jit.trace(Doubled(), torch.ones(1)), buffer)
    return buffer.getvalue()


FORMS: dict[str, Callable[[Any], bytes]] = {
    "bare pickle": bare_pickle,
    "old torch": old_torch,
    "new torch": new_torch,
    "poisoned zip": poisoned_zip,
    "object array": object_array,
}
