"""Cells that a search asks for one by one: Optuna's ask and tell around the driver's loop.

What is reproducible. With one cell at a time (`n_jobs=1`) the same seed gives the same trials, bit
for bit, also if the search is interrupted, killed and gone on with: a sampler is made anew for each
trial from (seed, number of the trial), so it depends on the trials before and on nothing else.
With several cells at once a trial is asked for when another one ends, and which ends first is a
matter of time; cells that are still running count as poor ones nearby (TPE's constant liar).

Pruning looks at the validations of a trial one after the other, in their order, each as if it were
the last one known; so at which one a trial is pruned follows from the values alone, however late
they are read. A process that is told to stop may train on for a moment; no later value counts.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, final

import optuna
from optuna.trial import Trial, TrialState

from ganvas.engine.check import check_composed
from ganvas.engine.compose import compose
from ganvas.errors import GanvasError, RunError
from ganvas.sweep.cells import Planned, add_cells
from ganvas.sweep.manifest import Cell, Manifest
from ganvas.sweep.search_objective import values_of
from ganvas.sweep.search_plan import SearchPlan
from ganvas.sweep.search_settings import Storage
from ganvas.sweep.search_study import (
    AGAIN,
    OURS,
    Seeded,
    asked_of,
    differences,
    distributions,
    num_trials,
    open_storage,
    pruner,
    quiet,
)
from ganvas.sweep.search_values import Validations
from ganvas.tracking import RunRecord, read_run_json

if TYPE_CHECKING:
    from collections.abc import Sequence

SWEEP, REASON, VERDICT = "sweep", "reason", "verdict"
"""User attributes of a trial: its sweep, why it did not come to its end, and the pruner's word."""


@final
class Search:
    """See `source.Source`.

    Args:
        manifest: of the sweep, held by this process.
        plan: what is searched.
        at_once: cells.
        cells: of the manifest that are to be gone on with, or tried again.
        trust: trusted modules.
    """

    def __init__(
        self,
        manifest: Manifest,
        plan: SearchPlan,
        *,
        at_once: int,
        cells: Sequence[Cell] = (),
        trust: Sequence[str] = (),
    ) -> None:
        self.manifest, self.plan, self.at_once, self.trust = manifest, plan, at_once, trust
        self.study = open_study(manifest, plan)
        self._trials: dict[int, list[Trial]] = {}
        self._validations: dict[int, Validations] = {}
        self._judged: dict[int, int] = {}
        self._pruned: dict[int, str] = {}
        self._out: set[int] = set()
        self._cells = deque(cells)
        self._orphans = deque(self._settle())

    def next(self) -> Cell | None:
        """The next cell: one that was interrupted, else one that the study asks for."""
        with quiet():
            if len(self._out) >= self.at_once:
                return None
            cell = self._cells.popleft() if self._cells else self._asked()
        if cell is not None:
            self._out.add(cell.index)
        return cell

    def ended(self, cell: Cell) -> None:
        """Tells the study; the trial of an interrupted cell stays open."""
        self._out.discard(cell.index)
        if cell.state == "interrupted" and cell.index not in self._pruned:
            return
        with quiet():
            for trial in self._trials.pop(cell.index, []):
                self._tell(trial, cell)
            self._try_again(cell)

    def prune(self, cell: Cell) -> str | None:
        """Reads what validations have brought since, and lets the pruner judge each."""
        if self.plan.watched is None or cell.index in self._pruned:
            return None
        with quiet():
            return self._judge(cell)

    def _asked(self) -> Cell | None:
        """A cell of a new trial; a trial that can't be, or was there before, is told at once."""
        while self._orphans or num_trials(self.study) < self.plan.num_trials:
            if self._orphans:
                trial = _reopened(self.study, self._orphans.popleft())
                for name, kind in distributions(self.plan.space).items():
                    trial._suggest(name, kind)
            else:
                trial = self.study.ask(distributions(self.plan.space))
            trial.set_user_attr(SWEEP, self.manifest.content["name"])
            if (cell := self._cell(trial)) is not None:
                return cell
        return None

    def _cell(self, trial: Trial) -> Cell | None:
        """The trial's cell, in the manifest; None where there is nothing to run for it."""
        overrides = self.plan.space.overrides(trial.params)
        twin = next((c for c in self.manifest.cells if c.overrides == overrides), None)
        if twin is not None:  # the same config gives the same values
            if twin.state in ("done", "failed"):
                self._tell(trial, twin)
            else:
                self._trials.setdefault(twin.index, []).append(trial)
            return None
        try:
            composed = compose(overrides, search=self.plan.dirs)
            checked = check_composed(composed, trust=self.trust)
        except GanvasError as error:
            self._fail(trial, str(error).splitlines()[0])
            return None
        label = self.plan.space.label(trial.params)
        added, _ = add_cells(self.manifest, [Planned(tuple(overrides), label, checked)])
        if not added:
            self._fail(trial, "its config is that of another cell")
            return None
        added[0].trial = trial.number
        self.manifest.save()
        self._trials[added[0].index] = [trial]
        return added[0]

    def _judge(self, cell: Cell) -> str | None:
        trials, watched = self._trials.get(cell.index), self.plan.watched
        if not trials or watched is None or cell.run is None:
            return None
        known = self._validations.get(cell.index)
        if known is None or known.run != cell.run:
            known = Validations(self.manifest.folder / cell.run, watched, run=cell.run)
            self._validations[cell.index] = known
        there = self._reported(trials[0])
        # A killed driver may have reported the last one without asking the pruner.
        for number, (step, value) in known.since(self._judged.get(cell.index, max(there - 1, 0))):
            for trial in trials if number > there else ():
                trial.report(value, number)
            self._judged[cell.index] = number
            if trials[0].should_prune():
                self._pruned[cell.index] = f"pruned at step {step}"
                trials[0].set_user_attr(VERDICT, self._pruned[cell.index])
                return self._pruned[cell.index]
        return None

    def _reported(self, trial: Trial) -> int:
        """The number of validations that the study has of a trial."""
        frozen = self.study.get_trials(deepcopy=False)[trial.number]
        return max(frozen.intermediate_values, default=0)

    def _tell(self, trial: Trial, cell: Cell) -> None:
        if cell.index not in self._pruned and cell.trial == trial.number:
            self._trials[cell.index] = [trial]
            self._judge(cell)
            del self._trials[cell.index]
        if reason := self._pruned.get(cell.index):
            trial.set_user_attr(REASON, reason)
            self.study.tell(trial, state=TrialState.PRUNED)
            self._mark(cell, reason)
        elif cell.state == "failed":
            self._fail(trial, cell.reason or "failed")
        else:
            try:
                self.study.tell(trial, self._values(cell))
            except (ValueError, GanvasError) as error:
                self._fail(trial, str(error))

    def _fail(self, trial: Trial, reason: str) -> None:
        trial.set_user_attr(REASON, reason)
        self.study.tell(trial, state=TrialState.FAIL)

    def _values(self, cell: Cell) -> list[float]:
        record = read_run_json(self.manifest.folder / str(cell.run))
        return values_of(record.get("metrics") or {}, self.plan.objectives)

    def _mark(self, cell: Cell, reason: str) -> None:
        """The run's record says why it stopped; one that came to its end stays as it is."""
        cell.state, cell.reason = "done", reason
        folder = self.manifest.folder / str(cell.run)
        with suppress(RunError):
            if read_run_json(folder)["status"] == "finished":
                return
            record = RunRecord.open(folder, resume=False)
            try:
                record.set(reason=reason)
            finally:
                record.close()

    def _try_again(self, cell: Cell) -> None:
        """A failed trial can't be told another end, so its cell's second life is a new trial."""
        frozen = self.study.get_trials(deepcopy=False)
        if cell.state != "done" or cell.trial is None or cell.index in self._pruned:
            return
        first = frozen[cell.trial]
        if first.state is not TrialState.FAIL or AGAIN in first.user_attrs:
            return
        with suppress(ValueError, GanvasError):
            self.study.add_trial(
                optuna.trial.create_trial(
                    values=self._values(cell),
                    params=first.params,
                    distributions=first.distributions,
                    user_attrs={AGAIN: first.number, SWEEP: self.manifest.content["name"]},
                )
            )
            cell.trial = len(frozen)

    def _settle(self) -> Iterator[int]:
        """What a killed driver has left: trials that were not told, cells not marked as pruned.

        Returns:
            Numbers of this sweep's open trials that have no cell yet.
        """
        cells = {cell.trial: cell for cell in self.manifest.cells if cell.trial is not None}
        orphans = []
        with quiet():
            for frozen in self.study.get_trials(deepcopy=False):
                cell = cells.get(frozen.number)
                if frozen.state is TrialState.RUNNING:
                    # The name is set right after a trial is made: without it, it is ours, too.
                    name = self.manifest.content["name"]
                    if cell is not None:
                        trial = _reopened(self.study, frozen.number)
                        self._trials[cell.index] = [trial]
                        if verdict := frozen.user_attrs.get(VERDICT):
                            self._pruned[cell.index] = str(verdict)
                        if cell.state in ("done", "failed") or verdict:
                            self._tell(self._trials.pop(cell.index)[0], cell)
                    elif frozen.user_attrs.get(SWEEP, name) == name:
                        orphans.append(frozen.number)
                elif frozen.state is TrialState.PRUNED and cell and cell.state == "interrupted":
                    self._mark(cell, str(frozen.user_attrs.get(REASON, "pruned")))
        self._cells = deque(c for c in self._cells if c.state != "done")
        return iter(orphans)


def open_study(manifest: Manifest, plan: SearchPlan) -> optuna.Study:
    """The study of a sweep, made where it is not there yet.

    Raises:
        RunError: the storage can't be used, or the study is another one.
    """
    settings = plan.settings
    storage = Storage.named(settings.storage, manifest.folder)
    with quiet():
        study = optuna.create_study(
            study_name=settings.study_name,
            storage=open_storage(storage, alone=settings.storage is None),
            sampler=Seeded(settings, plan.space),
            pruner=pruner(settings.pruner, settings.pruning),
            directions=[one.direction for one in plan.objectives],
            load_if_exists=True,
        )
        asked = asked_of(plan.space, plan.objectives)
        if OURS not in study.user_attrs and not study.get_trials(deepcopy=False):
            study.set_user_attr(OURS, asked)
        if found := differences(study.user_attrs.get(OURS), asked):
            raise RunError(f"{storage.file}: the study is another one: {'; '.join(found)}")
    return study


def _reopened(study: optuna.Study, number: int) -> Trial:
    """An open trial of the storage, as `ask` returned it; Optuna has no public way to it."""
    return Trial(study, study.get_trials(deepcopy=False)[number]._trial_id)
