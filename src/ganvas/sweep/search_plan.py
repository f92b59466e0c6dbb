"""A search before it begins: its space, its objectives and its study, all checked."""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ganvas.engine.settings import validate
from ganvas.errors import ConfigError, GanvasError, GanvasWarning, RunError
from ganvas.sweep.cells import Planned, plan
from ganvas.sweep.search_objective import Objective, objectives
from ganvas.sweep.search_settings import SearchSettings, Storage
from ganvas.sweep.search_space import Space, parse_space
from ganvas.tracking import redact, redact_text
from ganvas.tracking.redact import REDACTED

if TYPE_CHECKING:
    import optuna

STUDY = "study"
"""Where `sweep.json` keeps what was asked of a search."""

DEFAULT_TRIALS = 20
OF_ONE_CALL = ("trust", "check", "full_error")


@dataclass(frozen=True)
class SearchPlan:
    """All that a search goes by; `sweep.json` keeps it.

    Attributes:
        settings: of the sweeper; its name of the study is given.
        space: what is searched.
        objectives: one or two.
        num_trials: in all.
        dirs: more folders with config groups, absolute.
    """

    settings: SearchSettings
    space: Space
    objectives: tuple[Objective, ...]
    num_trials: int
    dirs: tuple[str, ...] = ()

    @property
    def watched(self) -> str | None:
        """The metric that decides on pruning; None where nothing is pruned."""
        return None if self.settings.pruner in (None, "none") else self.objectives[0].watched

    def record(self) -> dict[str, Any]:
        """For `sweep.json`; `recorded` reads it."""
        fixed = [o for o in self.space.fixed if o.lstrip("+").partition("=")[0] not in OF_ONE_CALL]
        return self.settings.model_dump() | {
            "num_trials": self.num_trials,
            "metric": [one.name for one in self.objectives],
            "direction": [one.direction for one in self.objectives],
            "params": {p.key: p.text for p in self.space.parameters},
            "fixed": [redact_text(text) for text in fixed],
            "dirs": list(self.dirs),
        }


def recorded(stored: Mapping[str, Any], *, num_trials: int | None = None) -> SearchPlan:
    """A search from its `sweep.json`.

    Args:
        stored: what `SearchPlan.record` returned.
        num_trials: in all; None for as many as it was begun with.

    Raises:
        RunError: the record is damaged, or a secret was left out of it.
    """
    if REDACTED in json.dumps(stored):
        raise RunError("the search's overrides hold a secret, which is never written down")
    try:
        own = {key: stored[key] for key in SearchSettings.model_fields}
        own["num_trials"] = num_trials or own["num_trials"]
        settings = validate(SearchSettings, own, prefix="study")
        space = parse_space(list(stored["fixed"]), settings.params, search=stored["dirs"])
        wanted = tuple(
            Objective(name, direction == "maximize")
            for name, direction in zip(stored["metric"], stored["direction"], strict=True)
        )
        return SearchPlan(
            settings, space, wanted, _num_trials(settings, space), tuple(stored["dirs"])
        )
    except (KeyError, TypeError, ValueError, ConfigError) as error:
        raise RunError(f"sweep.json: its `{STUDY}` is damaged ({error}); restore it") from error


def plan_search(
    node: Mapping[str, Any], typed: Sequence[str], *, dirs: Sequence[str | Path]
) -> tuple[SearchPlan, list[Planned]]:
    """Check a search as far as that can be done without training; nothing is written.

    Args:
        node: `hydra.sweeper`, composed.
        typed: overrides as typed, Hydra's own left out.
        dirs: more folders with config groups.

    Returns:
        The plan, and the corners of its space.

    Raises:
        ConfigError: with the fault of each corner, or of a setting.
        RunError: the study that is there is another one, or has that many trials already.
    """
    values = {key: value for key, value in node.items() if key != "_target_"}
    settings = validate(SearchSettings, values, prefix="hydra.sweeper")
    space = parse_space(typed, settings.params, search=dirs)
    _check_space(space, settings)
    storage = Storage.named(settings.storage, Path())  # a bad one is told before corners are built
    planned = plan(space.corners(), search=dirs)
    _check_secrets(planned)
    wanted = objectives(settings, planned)
    for name in (one.name for one in wanted if one.name.startswith("test/")):
        warnings.warn(
            f"hydra.sweeper.metric={name}: what is chosen by test images is no longer tested by "
            f"them; search by val/{name.removeprefix('test/')}",
            GanvasWarning,
            stacklevel=2,
        )
    _check_pruning(settings, wanted)
    names = {str(one.checked.settings.name) for one in planned}
    update = {
        "study_name": settings.study_name or (names.pop() if len(names) == 1 else "sweep"),
        "storage": settings.storage and storage.text,  # gone on with from another folder, too
    }
    settings = settings.model_copy(update=update)
    absolute = tuple(str(Path(folder).absolute()) for folder in dirs)
    found = SearchPlan(settings, space, wanted, _num_trials(settings, space), absolute)
    _check_study(found)
    return found, planned


def _check_space(space: Space, settings: SearchSettings) -> None:
    if not space.parameters:
        raise ConfigError(
            "hydra/sweeper=optuna: nothing is searched; name at least one key with several values, "
            "e.g. 'loss.beta=tag(log, interval(0.1, 10))' or model=vae,conv_vae"
        )
    for parameter in space.parameters:
        key = parameter.key.lstrip("+")
        if key == "seed":
            raise ConfigError(
                "seed: a search would pick the luckiest seed; fix it, and train what was found "
                "with -m seed=0,1,2"
            )
        if key in OF_ONE_CALL or key == "name" or key.startswith("paths."):
            raise ConfigError(f"{key}: can't be searched; give it one value")
        if settings.sampler == "grid" and not parameter.values:
            raise ConfigError(
                f"{parameter.key}={parameter.text}: a grid needs values that can be counted; name "
                "them, give a range(start, stop, step), or choose sampler=tpe"
            )


def _check_secrets(planned: Sequence[Planned]) -> None:
    for one in planned:
        if redact(one.checked.config) != one.checked.config:
            raise ConfigError(
                "hydra/sweeper=optuna: the config holds a secret, and each trial's is written "
                "down; give it through the environment"
            )


def _check_pruning(settings: SearchSettings, wanted: Sequence[Objective]) -> None:
    if settings.pruner in (None, "none"):
        return
    if len(wanted) > 1:
        raise ConfigError(
            f"hydra.sweeper.pruner={settings.pruner}: trials are pruned by one value, and there "
            f"are two objectives; name one metric, or set pruner=none"
        )


def _num_trials(settings: SearchSettings, space: Space) -> int:
    if settings.sampler != "grid":
        return settings.num_trials or DEFAULT_TRIALS
    points = math.prod(len(parameter.values) for parameter in space.parameters)
    return min(settings.num_trials or points, points)


def _check_study(plan: SearchPlan) -> None:
    """The study, where it is there already, is the one that is asked for and has room."""
    if plan.settings.storage is None:
        return
    storage = Storage.named(plan.settings.storage, Path())
    if not storage.file.exists():
        return
    from ganvas.report.search import copied_storage
    from ganvas.sweep.search_study import quiet

    try:
        with quiet(), copied_storage(storage.file, sqlite=storage.sqlite) as copy:
            check_same(plan, _named(copy, str(plan.settings.study_name)))
    except GanvasError:
        raise
    except Exception as error:  # another program's file may be anything
        raise RunError(
            f"hydra.sweeper.storage={storage.file}: the study can't be read "
            f"({type(error).__name__}); restore the file or name another one"
        ) from error


def _named(storage: optuna.storages.BaseStorage, name: str) -> optuna.Study | None:
    import optuna

    try:
        return optuna.load_study(study_name=name, storage=storage)
    except KeyError:
        return None


def check_same(plan: SearchPlan, study: optuna.Study | None) -> None:
    """A study is what is asked for, and not yet at its end.

    Raises:
        RunError: with the differences, or the number of trials that there are.
    """
    if study is None:
        return
    from ganvas.sweep.search_study import OURS, asked_of, differences, num_trials

    place = f"the study `{study.study_name}`"
    asked = asked_of(plan.space, plan.objectives)
    if found := differences(study.user_attrs.get(OURS), asked):
        raise RunError(
            f"{place} in hydra.sweeper.storage is another one: {'; '.join(found)}; name another "
            "hydra.sweeper.study_name"
        )
    if (there := num_trials(study)) >= plan.num_trials:
        raise RunError(
            f"{place} has {there} trials, {plan.num_trials} were asked for in all; nothing was "
            "run; ask for more with hydra.sweeper.num_trials"
        )
