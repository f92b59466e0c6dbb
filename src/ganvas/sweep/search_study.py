"""Optuna as searches use it: opened, seeded by trial, and compared with what is asked now."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, final

import numpy as np
import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.samplers import BaseSampler, GridSampler, RandomSampler, TPESampler
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial

from ganvas.errors import RunError
from ganvas.sweep.search_space import Parameter, Space

if TYPE_CHECKING:
    from ganvas.sweep.search_objective import Objective
    from ganvas.sweep.search_settings import Pruning, SearchSettings, Storage

AGAIN = "again"
"""User attribute of a trial: number of the failed one whose cell it is."""

OURS = "ganvas"
"""User attribute of a study: what was asked of it."""


@contextmanager
def quiet() -> Iterator[None]:
    """Without Optuna's log lines and its warnings about what is experimental."""
    logging.getLogger("optuna").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"optuna\.")
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        yield


def distribution(parameter: Parameter) -> BaseDistribution:
    """A parameter in Optuna's words."""
    low, high, step = parameter.low, parameter.high, parameter.step
    if low is None or high is None:
        return CategoricalDistribution(parameter.values)
    if all(isinstance(number, int) for number in (low, high, step or 1)):
        return IntDistribution(int(low), int(high), log=parameter.log, step=int(step or 1))
    return FloatDistribution(low, high, log=parameter.log, step=step)


def distributions(space: Space) -> dict[str, BaseDistribution]:
    """All parameters by key."""
    return {parameter.key: distribution(parameter) for parameter in space.parameters}


def grid_of(space: Space) -> dict[str, list[Any]]:
    """The points of each parameter, as Optuna samples them."""
    return {p.key: list(p.values) if p.low is None else _numbers(p) for p in space.parameters}


def _numbers(parameter: Parameter) -> list[float | int]:
    kind = int if isinstance(distribution(parameter), IntDistribution) else float
    return [kind(text) for text in parameter.values]


@final
class Seeded(BaseSampler):
    """A sampler that starts anew at each trial, from (seed, number of the trial).

    So what it draws depends on the trials before, not on the process that asks: a search that was
    interrupted goes on as if it had not been.

    Args:
        settings: of the search.
        space: that it samples.
    """

    def __init__(self, settings: SearchSettings, space: Space) -> None:
        self.settings, self.space = settings, space
        self._inner: BaseSampler = RandomSampler(seed=settings.seed)

    def before_trial(self, study: optuna.Study, trial: FrozenTrial) -> None:
        """Makes the sampler of this trial."""
        seed = int(np.random.SeedSequence((self.settings.seed, trial.number)).generate_state(1)[0])
        match self.settings.sampler:
            case "tpe":
                self._inner = TPESampler(seed=seed, constant_liar=True)
            case "random":
                self._inner = RandomSampler(seed=seed)
            case "grid":
                self._inner = GridSampler(grid_of(self.space), seed=self.settings.seed)
        self._inner.before_trial(study, trial)

    def infer_relative_search_space(
        self, study: optuna.Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """See Optuna."""
        return self._inner.infer_relative_search_space(study, trial)

    def sample_relative(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        search_space: dict[str, BaseDistribution],
    ) -> dict[str, Any]:
        """See Optuna."""
        return self._inner.sample_relative(study, trial, search_space)

    def sample_independent(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """See Optuna."""
        return self._inner.sample_independent(study, trial, param_name, param_distribution)


def pruner(kind: str | None, options: Pruning) -> optuna.pruners.BasePruner:
    """The pruner of a search; its steps are validations, counted from 1."""
    match kind:
        case "median":
            return optuna.pruners.MedianPruner(
                n_startup_trials=options.startup_trials, n_warmup_steps=options.warmup + 1
            )
        case "halving":
            return optuna.pruners.SuccessiveHalvingPruner(
                min_resource=options.min_validations, reduction_factor=options.reduction_factor
            )
        case "hyperband":
            return optuna.pruners.HyperbandPruner(
                min_resource=options.min_validations,
                max_resource=options.max_validations or "auto",
                reduction_factor=options.reduction_factor,
            )
    return optuna.pruners.NopPruner()


def open_storage(storage: Storage, *, alone: bool) -> BaseStorage:
    """The storage, made where there is none.

    Args:
        storage: where.
        alone: no other process uses it, so a lock that is there is a killed process's.

    Raises:
        RunError: it can't be read or written.
    """
    try:
        if storage.sqlite:
            return RDBStorage(storage.text)
        if alone:
            storage.file.with_name(f"{storage.file.name}.lock").unlink(missing_ok=True)
        _cut_unfinished_line(storage)
        return JournalStorage(JournalFileBackend(str(storage.file)))
    except Exception as error:
        raise RunError(
            f"{storage.file}: the study can't be opened ({type(error).__name__}: "
            f"{' '.join(str(error).split())[:200]}); restore the file or name another storage"
        ) from error


def _cut_unfinished_line(storage: Storage) -> None:
    """What a process left that was killed while it wrote: the next line would be joined to it."""
    if not storage.file.exists():
        return
    from optuna.storages.journal import JournalFileSymlinkLock

    content = storage.file.read_bytes()
    if content.endswith(b"\n") or not content:
        return
    lock = JournalFileSymlinkLock(str(storage.file))
    lock.acquire()
    try:
        content = storage.file.read_bytes()
        with storage.file.open("r+b") as file:
            file.truncate(content.rfind(b"\n") + 1)
    finally:
        lock.release()


def asked_of(space: Space, objectives: Sequence[Objective]) -> dict[str, dict[str, str]]:
    """What a study must agree on to be gone on with, in words."""
    return {
        "space": {p.key: _described(p) for p in space.parameters},
        "objectives": {one.name: one.direction for one in objectives},
    }


def _described(parameter: Parameter) -> str:
    if parameter.low is None:
        return f"choice({', '.join(parameter.values)})"
    log = ", log" if parameter.log else ""
    step = "" if parameter.step is None else f" in steps of {parameter.step}"
    return f"{parameter.low} to {parameter.high}{step}{log}"


def differences(stored: Mapping[str, Any] | None, asked: Mapping[str, Any]) -> list[str]:
    """In which way a study is not the one that is asked for."""
    if stored is None:
        return ["it was not made by ganvas"]
    found = []
    for part, now in asked.items():
        then = dict(stored.get(part) or {})
        if part == "objectives" and list(then.items()) != list(now.items()):
            both = (", ".join(f"{k} ({v})" for k, v in each.items()) for each in (then, now))
            found.append("its objectives are {}, asked is {}".format(*both))
        elif part == "space":
            found += [
                f"{key}: it has {then.get(key, 'no such key')}, asked is "
                f"{now.get(key, 'no such key')}"
                for key in dict.fromkeys([*then, *now])
                if then.get(key) != now.get(key)
            ]
    return found


def num_trials(study: optuna.Study) -> int:
    """Trials of any state; one that was tried again counts once."""
    return sum(AGAIN not in trial.user_attrs for trial in study.get_trials(deepcopy=False))
