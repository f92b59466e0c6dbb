"""Numbers that are not finite, and memory that is not there."""

from __future__ import annotations

import json
import re
import resource
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from driven import drive
from stops import faults_of, resumed, run_in, size, status_of, trained
from trials import Trial


@dataclass(frozen=True)
class Spoilt:
    """A hook: one training step gives a value that is no number, on its first way through.

    Args:
        step: from 1.
        value: what the loss is multiplied by.
        place: "loss" or "gradient".
    """

    step: int
    value: float
    place: str

    def __call__(self) -> None:
        """Put the trap in its place."""
        from ganvas.models.base import GenerativeModule
        from ganvas.models.vae.vae import VAE

        terms, hook = VAE.loss_terms, self

        def spoilt(model: GenerativeModule, *arguments: Any, **named: Any) -> Any:
            found = terms(model, *arguments, **named)  # type: ignore[arg-type]
            if model.training and model.step == hook.step - 1 and hook.place == "gradient":
                found.total.register_hook(lambda grad: grad * hook.value)
            elif model.training and model.step == hook.step - 1:
                total = found.total * hook.value
                return type(found)(total, {**found.parts})
            return found

        VAE.loss_terms = spoilt  # type: ignore[method-assign]


def not_finite(folder: Path, random: Random) -> Iterator[Trial]:
    """A loss or a gradient is NaN or infinite at a random step; without it the run goes on."""
    clip = "trainer.gradient_clip_val=10"
    whole = trained(folder / "whole", clip)
    for number in range(8):
        step = random.randrange(8, 39)
        hook = Spoilt(
            step, (float("nan"), float("inf"))[number // 4], ("loss", "gradient")[number % 2]
        )
        place = folder / f"{number}"
        started = drive(place, "train", *size(clip), hook=hook)
        code, faults, run = started.code(), faults_of(started), run_in(place)
        assert run is not None
        said = started.printed()
        told = re.search(
            r"(\w+) (?:became|was) (?:nan|inf|no longer).* at step (\d+) \(batch (\d+) of epoch",
            said,
        )
        if code != 1 or status_of(run) != "failed":
            faults.append(f"it ended with {code}: {said[-300:]}")
        elif told is None or int(told[2]) not in (step, step + 1):
            faults.append(f"it did not name the step {step}: {said[-300:]}")
        elif f"step {told[2]} had the images [" not in (run / "log.txt").read_text():
            faults.append("its images are not in log.txt")
        faults += resumed(place, run, whole)
        subject = f"vae, {hook.place} × {hook.value} at step {step}"
        result = "; ".join(faults) or "stopped, named the step, the term and the images; resumed"
        yield Trial("NaN or infinity", subject, bool(faults), result)


@dataclass(frozen=True)
class Memory:
    """A hook: from a step on the process may have only so much more memory than it has.

    Args:
        step: from 1; 0 for the start.
        mib: more than it has by then.
        asks: whether the step then asks for a tensor of as much.
    """

    step: int
    mib: int
    asks: bool = True

    def __call__(self) -> None:
        """Put the trap in its place."""
        if not self.step:
            return self.limit()
        from ganvas.models.base import GenerativeModule

        advance, hook = GenerativeModule.advance, self

        def trap(model: GenerativeModule, *arguments: Any) -> None:
            advance(model, *arguments)
            if model.step == hook.step:
                import torch

                hook.limit()
                torch.ones(hook.mib * 2**20)

        GenerativeModule.advance = trap  # type: ignore[method-assign]
        return None

    def limit(self) -> None:
        """Set the limit."""
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        most = pages * resource.getpagesize() + self.mib * 2**20
        resource.setrlimit(resource.RLIMIT_AS, (most, most))


@dataclass(frozen=True)
class OnGpu:
    """A hook: at a step CUDA has no memory (as torch tells it; there is no GPU in it)."""

    step: int

    def __call__(self) -> None:
        """Put the trap in its place."""
        import torch

        from ganvas.models.base import GenerativeModule

        advance, hook = GenerativeModule.advance, self

        def trap(model: GenerativeModule, *arguments: Any) -> None:
            advance(model, *arguments)
            if model.step == hook.step:
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

        GenerativeModule.advance = trap  # type: ignore[method-assign]


def out_of_memory(folder: Path, random: Random) -> Iterator[Trial]:
    """Memory ends in mid-run, on the host or a GPU, or is never enough; other commands likewise."""
    whole = trained(folder / "whole")
    for number in range(6):
        place, step = folder / f"{number}", random.randrange(8, 39)
        hook = OnGpu(step) if number >= 4 else Memory(step, 200)
        started = drive(place, "train", *size(), hook=hook)
        code, faults, run = started.code(), faults_of(started), run_in(place)
        assert run is not None
        said = started.printed()
        if code != 1 or not re.search(r"out of memory: .*MiB at dataset.batch_size.*lower", said):
            faults.append(f"it ended with {code}: {said[-300:]}")
        faults += resumed(place, run, whole)
        result = "; ".join(faults) or "stopped, named the size and what to lower; resumed"
        subject = f"vae, {'CUDA (a stub)' if number >= 4 else 'host'} at step {step}"
        yield Trial("out of memory", subject, bool(faults), result)
    giant = "network.encoder.hidden=[200000,200000]"
    started = drive(folder / "giant", "train", *size(giant), hook=Memory(0, 4000))
    faults, said = faults_of(started) if started.code() == 1 else [started.printed()], ""
    said = started.printed()
    if "it will hardly fit" not in said or "out of memory: " not in said:
        faults.append(said[-300:])
    result = "; ".join(faults) or "warned before, stopped, named the size and what to lower"
    yield Trial("out of memory", "a giant layer", bool(faults), result)
    yield from _commands(whole)


def _commands(run: Path) -> Iterator[Trial]:
    before = json.loads((run / "run.json").read_text(encoding="utf-8"))
    for arguments in (["sample", str(run), "n=50000000"],):
        started = drive(run.parents[2], *arguments, hook=Memory(0, 500))
        code, faults, said = started.code(), faults_of(started), started.printed()
        if code != 1 or "out of memory: " not in said or "lower" not in said:
            faults.append(f"it ended with {code}: {said[-300:]}")
        if json.loads((run / "run.json").read_text(encoding="utf-8")) != before:
            faults.append("the record has changed")
        result = "; ".join(faults) or "stopped, named what to lower; the run is as it was"
        yield Trial("out of memory", arguments[0], bool(faults), result)
