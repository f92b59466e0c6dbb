"""The `prior` group: what draws the codes of samples; priors fitted after training.

A fitted prior is kept in `RUN/priors/`, with what it was fitted to, and used again as long as the
weights, the training images and the options are those. Nothing else writes there, and files are
replaced whole, so that a run may be sampled while it trains: then its weights have changed the
next time, and the prior is fitted anew.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from ganvas.data.content import file_lock
from ganvas.data.tensor_file import read_note, read_tensors, write_tensors
from ganvas.engine.build import instantiate
from ganvas.engine.targets import check_node
from ganvas.errors import ConfigError, DataError, GanvasWarning, RunError
from ganvas.evaluation.mixture import Mixture
from ganvas.evaluation.priors import (
    CodeSource,
    FittedPrior,
    Given,
    GivenPrior,
    OwnPrior,
    Prior,
    encodings,
    unfittable,
)
from ganvas.nn.extractor import weights_hash
from ganvas.protocols import Samples
from ganvas.tracking.provenance import package_versions

if TYPE_CHECKING:
    from torch import nn

    from ganvas.data import ImageData
    from ganvas.evaluation.measure import Measure
    from ganvas.models.base import GenerativeModule


RECIPE = 1
"""Raised when codes are made or fitted in another way, so that no earlier prior is used."""


def build_prior(node: Mapping[str, Any], *, trust: Sequence[str]) -> Prior:
    """The choice of the `prior` group.

    Raises:
        ConfigError: if it is no prior, or a value is refused.
    """
    check_node(node, key="prior", trust=trust)
    try:
        prior = instantiate(node)
    except ConfigError:
        raise
    except ValueError as error:
        raise ConfigError(f"prior.{error}") from error
    if not isinstance(prior, Prior):
        raise ConfigError(f"prior: must name a prior by _target_, got {type(prior).__name__}")
    return prior


def check_prior(prior: Prior, model: type[nn.Module], measures: Mapping[str, Measure]) -> None:
    """A prior that was asked for is of use: to this model and to what is measured.

    A model without a prior of its own is no fault: measures that need samples say so.

    Raises:
        RunError: if the model can't be sampled so.
        ConfigError: if nothing that is measured looks at samples.
    """
    if isinstance(prior, OwnPrior):
        return
    _check_fit(prior, model)
    if not any(measure.needs_samples for measure in measures.values()):
        raise ConfigError(
            f"prior={prior.name}: nothing in metrics={','.join(measures)} looks at samples; "
            "leave prior out, or add samples"
        )


def _check_fit(prior: Prior, model: type[nn.Module]) -> None:
    if fault := prior.unfit(model):
        remedy = "take prior=model" if issubclass(model, Samples) else "choose another model"
        if isinstance(prior, OwnPrior) and unfittable(model) is None:
            remedy = "take prior=gmm, fitted to its codes"
        raise RunError(f"prior={prior.name}: {model.__name__} {fault}; {remedy}")


def own_or_source(prior: Prior, model: GenerativeModule, **where: Any) -> CodeSource | None:
    """None for the model's own prior, whether or not it has one; else as `code_source`."""
    return None if isinstance(prior, OwnPrior) else code_source(prior, model, **where)


def code_source(
    prior: Prior,
    model: GenerativeModule,
    *,
    folder: Path,
    checkpoint: Path,
    data: Callable[[], ImageData],
) -> CodeSource:
    """What draws codes for a model; a prior that is to be fitted is, unless it was before.

    Args:
        prior: chosen.
        model: in evaluation mode, with the weights of `checkpoint`.
        folder: of the run.
        checkpoint: names the file that a fitted prior is kept in.
        data: gives the run's images, prepared.

    Raises:
        RunError: if the model can't be sampled so, or no prior can be fitted or kept.
        DataError: if the images can't be read, and no prior of these weights is there.
    """
    _check_fit(prior, type(model))
    if isinstance(prior, GivenPrior):
        return Given(prior, model)
    assert isinstance(prior, FittedPrior)
    file = folder / "priors" / f"{prior.name}-{checkpoint.stem}.safetensors"
    made_of = {
        "recipe": RECIPE,
        "options": {"class": type(prior).__qualname__, **vars(prior)},
        "weights": weights_hash(model),
    }
    try:
        images = data()
    except DataError as error:
        if (kept := _kept(file, made_of)) is None:
            raise
        text = f"{file}: compared with the weights alone, since the images can't be read: {error}"
        warnings.warn(text, GanvasWarning, stacklevel=2)
        return kept
    made_of["images"] = images.content("train")
    if kept := _kept(file, made_of):
        return kept
    with _writing(file):
        kept = _kept(file, made_of)  # another process may have been faster
        return kept or _fit(prior, model, images, file=file, made_of=made_of)


def _fit(
    prior: FittedPrior,
    model: GenerativeModule,
    data: ImageData,
    *,
    file: Path,
    made_of: Mapping[str, Any],
) -> Mixture:
    codes = encodings(model, data, seed=prior.seed)
    try:
        mixture = prior.fit(codes)
    except ValueError as error:
        raise RunError(f"prior={prior.name} can't be fitted: {error}") from error
    note = {
        **made_of,
        "step": model.step,
        "num": len(codes),
        "log_likelihood": mixture.log_prob(codes).mean().item(),  # nats per image
        "packages": package_versions() | {"scikit-learn": version("scikit-learn")},
    }
    former = read_note(file.with_suffix(".json")) or made_of
    changed = [words for key, words in _WORDS.items() if former.get(key) != made_of[key]]
    why = f" again, since {' and '.join(changed)} changed" if changed else ""
    write_tensors(file, mixture.tensors, note)
    Console(stderr=True, highlight=False, soft_wrap=True).print(
        f"ganvas: prior={prior.name}: fitted to the codes of {len(codes):,} training images{why}"
    )
    return mixture


_WORDS = {
    "weights": "the weights",
    "images": "the images",
    "options": "its options",
    "recipe": "the way it is fitted",
}


def _kept(file: Path, made_of: Mapping[str, Any]) -> Mixture | None:
    """The prior in `file`, if it is whole and made of exactly that."""
    note = read_note(file.with_suffix(".json")) or {}
    if any(note.get(key) != value for key, value in made_of.items()):
        return None
    if (tensors := read_tensors(file)) is None:
        return None
    mixture = Mixture.from_tensors(tensors)
    if mixture is None:
        text = f"{file}: damaged (no mixture of Gaussians); it is made again"
        warnings.warn(text, GanvasWarning, stacklevel=2)
    return mixture


@contextmanager
def _writing(file: Path) -> Iterator[None]:
    """One process at a time, and an error with its remedy where the folder can't be written."""
    try:
        file.parent.mkdir(exist_ok=True)
        lock = file.with_suffix(".lock")
        lock.touch()
        with file_lock(lock):
            yield
    except OSError as error:
        raise RunError(
            f"{file.parent}: the fitted prior can't be kept there ({error.strerror or error}); "
            "make the run's folder writable, or copy the run"
        ) from error
