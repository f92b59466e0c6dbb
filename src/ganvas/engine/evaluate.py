"""`ganvas evaluate RUN`: measures of a trained model on a split, appended to the run's record."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from rich.console import Console

from ganvas.engine.archive import Place, find_run
from ganvas.engine.build import FACTS, build_data, model_class
from ganvas.engine.checkpoint_files import checkpoint_path
from ganvas.engine.measures import build_measures, extractor_for, fault_of, options_of
from ganvas.engine.priors import build_prior, check_prior, own_or_source
from ganvas.engine.ranks import global_rank
from ganvas.engine.runs import pick_device, read_checked, restore
from ganvas.engine.settings import EvaluateSettings
from ganvas.engine.targets import check_node
from ganvas.errors import ConfigError, GanvasError, GanvasWarning, RunError, UnfitError
from ganvas.evaluation.callback import take
from ganvas.evaluation.measure import named
from ganvas.evaluation.priors import unfittable
from ganvas.evaluation.result import Result
from ganvas.evaluation.subject import Subject
from ganvas.tracking.files import RUN_FILE, read_run_json
from ganvas.tracking.provenance import package_versions
from ganvas.tracking.record import RunRecord
from ganvas.tracking.redact import redact_text

if TYPE_CHECKING:
    from ganvas.data import ImageData
    from ganvas.engine.build import Checked
    from ganvas.evaluation.measure import Measure
    from ganvas.evaluation.priors import Prior
    from ganvas.models.base import GenerativeModule
    from ganvas.nn.extractor import Extractor
    from ganvas.types import Finding


def evaluate(
    settings: EvaluateSettings, *, chosen: bool = False, command: Sequence[str] | None = None
) -> tuple[list[Result], dict[str, str]]:
    """Measure and record.

    Under `torchrun` the ranks share the work; the values are those of one rank.

    Args:
        settings: of the command.
        chosen: whether the user named the measures, so that one that does not fit is a fault.
        command: overrides as typed, kept in the provenance: `reproduce` measures by them again.

    Returns:
        The appended results, and why measures were left out, by name.

    Raises:
        GanvasError: if the run, its checkpoint or its data can't be used, or a measure not taken.
    """
    folder = (place := find_run(settings.run)).folder
    checked = _checked(folder, settings)
    prior, data = build_prior(settings.prior, trust=checked.trust), build_data(checked)
    measures = build_measures(settings.metrics)
    measures, unfit = _fitting(measures, checked, data, prior=prior, chosen=chosen)
    data.prepare()
    _check_images(folder, data)
    if data.counts[settings.split] == 0:
        raise RunError(f"split={settings.split}: {data.name} has no such images; choose another")
    model, checkpoint = restore(checked, folder, settings.checkpoint)
    file = checkpoint_path(folder, settings.checkpoint)
    with _ranks() as (rank, world_size), _held(place, rank=rank) as record:
        model = model.to(pick_device(settings.accelerator)).eval()
        source = own_or_source(prior, model, folder=folder, checkpoint=file, data=lambda: data)
        paths = checked.settings.paths
        extractor = extractor_for(measures, settings, data, paths=paths, trust=checked.trust)
        subject = Subject(
            model,
            data,
            split=settings.split,
            options=options_of(settings),
            extractor=extractor,
            cache_dir=paths.cache_dir,
            weights_dir=paths.weights_dir,
            prior=partial(source.codes, seed=settings.seed) if source else None,
            rank=rank,
            world_size=world_size,
        )
        findings = _taken(measures, subject, unfit=None if chosen else unfit)
        common = _provenance(checked, checkpoint, command)
        drawn = {**common, "prior": prior.name}
        whence = {name: drawn if m.needs_samples else common for name, m in measures.items()}
        higher = _directions(measures, model, extractor)
        results = _results(findings, subject, file.name, provenance=whence, directions=higher)
        if record is not None:
            record.add_evaluations([result.as_dict() for result in results])
    return results, unfit


def _check_images(folder: Path, data: ImageData) -> None:
    """Other images than those of training are worth a word: the protocol differs, too."""
    trained = read_run_json(folder).get("dataset_fingerprint")
    if trained is not None and trained != data.fingerprint:
        text = f"{data.name}: its images have changed since this run was trained on them"
        warnings.warn(text, GanvasWarning, stacklevel=3)


def _taken(
    measures: Mapping[str, Measure], subject: Subject, *, unfit: dict[str, str] | None
) -> dict[str, dict[str, Finding]]:
    """Findings by measure; what can't be taken goes to `unfit`, and is refused without one.

    Raises:
        RunError: if a value is NaN.
    """
    findings: dict[str, dict[str, Finding]] = {}
    console = Console(stderr=True)  # shows nothing where it is no terminal
    for name, measure in measures.items():
        try:
            with console.status(f"measuring {name} …"):
                findings[name] = take({name: measure}, subject)
        except ValueError as error:
            if isinstance(error, GanvasError) and not isinstance(error, UnfitError):
                raise
            reason = " ".join(str(error).split())  # a library's may have several lines
            if unfit is None:
                raise UnfitError(f"metrics={name}: {reason}") from error
            unfit[name] = reason
            continue
        for value, finding in findings[name].items():
            if math.isnan(finding.value):
                raise RunError(
                    f"metrics={name}: {value} is NaN, so nothing is recorded; where the model's "
                    "weights have diverged, choose an earlier checkpoint"
                )
    return findings


def _checked(folder: Path, settings: EvaluateSettings) -> Checked:
    """The run's config with the folders of this machine; the command's nodes are good, too."""
    checked = read_checked(folder, trust=settings.trust, paths=settings.paths)
    check_node(settings.metrics, key="metrics", trust=checked.trust)
    check_node(settings.features, key="features", trust=checked.trust, given=FACTS)
    return checked


def names_measures(overrides: Sequence[str]) -> bool:
    """Whether measures were named, so that one that does not fit is a fault."""
    return any(override.startswith("metrics=") for override in overrides)


def _fitting(
    measures: Mapping[str, Measure],
    checked: Checked,
    data: ImageData,
    *,
    prior: Prior,
    chosen: bool,
) -> tuple[dict[str, Measure], dict[str, str]]:
    """The measures that fit this model and its data, and why the others don't."""
    kind = model_class(checked)
    check_prior(prior, kind, measures)
    faults = {name: fault_of(m, kind, data, prior=prior) for name, m in measures.items()}
    model = checked.choices.get("model", "this model")
    hint = " (prior=gmm gives it some)" if prior.unfit(kind) and not unfittable(kind) else ""
    unfit = {
        name: f"model={model} {fault}{hint if measures[name].needs_samples else ''}"
        for name, fault in faults.items()
        if fault
    }
    if unfit and chosen:
        name, reason = next(iter(unfit.items()))
        raise ConfigError(f"metrics={name}: {reason}; leave {name} out")
    fitting = {name: measure for name, measure in measures.items() if name not in unfit}
    if not fitting:
        raise ConfigError("metrics: nothing to measure; name at least one measure")
    return fitting, unfit


def _directions(
    measures: Mapping[str, Measure], model: GenerativeModule, extractor: Extractor | None
) -> dict[str, bool]:
    """Whether higher is better, by name: of what the model reports, and of the measures."""
    features = None if extractor is None else extractor.name
    found = {name: way for m in measures.values() for name, way in m.directions.items()}
    return {**model.directions(), **{named(name, features): way for name, way in found.items()}}


def _results(
    findings: Mapping[str, Mapping[str, Finding]],
    subject: Subject,
    checkpoint: str,
    *,
    provenance: Mapping[str, Mapping[str, Any]],
    directions: Mapping[str, bool],
) -> list[Result]:
    """Of all measures; findings and provenance are by measure."""
    return [
        Result(
            name=name,
            split=subject.split,
            value=finding.value,
            uncertainty=finding.uncertainty,
            checkpoint=checkpoint,
            protocol={**subject.protocol(), **finding.protocol},
            provenance=dict(provenance[measure]),
            higher_is_better=directions.get(name),
        )
        for measure, found in findings.items()
        for name, finding in found.items()
    ]


@contextmanager
def _held(place: Place, *, rank: int) -> Iterator[RunRecord | None]:
    """The run's record, held from before the work to its end; in ranks other than 0, None.

    Raises:
        RunError: if another process holds it, or it can't be written.
    """
    if rank > 0:
        yield None
        return
    try:
        record = RunRecord.open(place.folder, resume=False)
    except OSError as error:
        raise RunError(
            f"{place.folder} can't be written ({error.strerror or error}), and what is measured is "
            "recorded there; make it writable, or copy the run"
        ) from error
    try:
        yield record
    finally:
        record.close()
    if place.archive is not None:
        text = f"ganvas: recorded in {place.folder / RUN_FILE}, since a zip is not written to"
        Console(stderr=True, highlight=False, soft_wrap=True).print(text, markup=False)


@contextmanager
def _ranks() -> Iterator[tuple[int, int]]:
    """This process' rank and the number of processes that `torchrun` started; else 0 of 1."""
    import os

    world_size = int(os.environ.get("WORLD_SIZE", "1"))
    if world_size == 1:
        yield 0, 1
        return
    if torch.cuda.is_available():
        torch.cuda.set_device(global_rank() % torch.cuda.device_count())
    torch.distributed.init_process_group("gloo")
    try:
        yield global_rank(), world_size
    finally:
        torch.distributed.destroy_process_group()


def _provenance(
    checked: Any, checkpoint: dict[str, Any], command: Sequence[str] | None
) -> dict[str, Any]:
    """What is shown beside a value and never blocks a comparison."""
    told = {
        "run_seed": checked.settings.seed,
        "step": checkpoint["ganvas_counters"]["step"],
        "packages": package_versions(),
    }
    return told if command is None else {**told, "command": [redact_text(c) for c in command]}
