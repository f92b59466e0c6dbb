"""Processes of jobs, forked from a server that has imported torch and Lightning already."""

from __future__ import annotations

import multiprocessing
import os
import sys
import types
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.context import ForkServerProcess

from ganvas.sweep.job import Job, run_job

PRELOADED = ["ganvas.sweep.preload"]


def start(job: Job) -> ForkServerProcess:
    """A process that trains a cell; the first one waits for the server's imports."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    process = context.Process(target=run_job, args=(job,), name=f"cell {job.folder.name}")
    with _no_main():
        process.start()
    return process


@contextmanager
def _no_main() -> Iterator[None]:
    """A job needs nothing of the script that started the sweep, and must not run it again."""
    main = sys.modules["__main__"]
    sys.modules["__main__"] = types.ModuleType("__main__")
    former = os.environ.get("WANDB_ERROR_REPORTING")
    os.environ["WANDB_ERROR_REPORTING"] = "false"  # read when the server imports W&B
    try:
        yield
    finally:
        sys.modules["__main__"] = main
        if former is None:
            del os.environ["WANDB_ERROR_REPORTING"]
        else:
            os.environ["WANDB_ERROR_REPORTING"] = former
