"""Jobs of a cluster through submitit: submitted as one array, and what became of each."""

from __future__ import annotations

import logging
import os
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, final

from ganvas.engine.settings import validate
from ganvas.errors import RunError
from ganvas.sweep.manifest import Manifest
from ganvas.sweep.slurm_settings import SlurmSettings
from ganvas.sweep.slurm_task import FOLDER, Task

ASK_SECONDS = 30.0
"""Between two questions to SLURM's accounting."""
UNSURE_SECONDS = 600.0
"""For so long a job that SLURM does not know (yet), or has preempted, is waited for."""
WAITING = {"PENDING", "REQUEUED", "REQUEUE_HOLD", "CONFIGURING", "READY"}
UNSURE = {"UNKNOWN", "PREEMPTED"}
OVER = {"BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "NODE_FAIL", "OUT_OF_MEMORY"}
OVER |= {"TIMEOUT", "REVOKED", "LAUNCH_FAILED"}

Phase = Literal["waiting", "running", "over"]


@dataclass(frozen=True)
class JobState:
    """How far a job is.

    Attributes:
        phase: "waiting" in the queue, "running" or "over".
        word: the cluster's own.
    """

    phase: Phase
    word: str


@final
class Cluster:
    """A sweep's jobs.

    Args:
        sweep: its folder.
        settings: of the launcher.
    """

    def __init__(self, sweep: Path, settings: SlurmSettings) -> None:
        self.folder, self.settings = sweep / FOLDER, settings
        self._jobs: dict[str, Any] = {}
        self._asked = float("-inf")

    def submit(self, tasks: Sequence[Task]) -> list[str]:
        """Submit tasks as one array; the ids of their jobs.

        Raises:
            RunError: the cluster refused them.
        """
        import submitit

        with _quiet():
            executor = self._executor()
            try:
                jobs = executor.submit_array(list(tasks))
            except (RuntimeError, OSError, AssertionError) as error:
                told = [line for line in str(error).splitlines() if line.strip()]
                raise RunError(f"the jobs were refused: {(told or ['no reason given'])[-1]}") from (
                    error
                )
        assert isinstance(executor, submitit.AutoExecutor)
        self._jobs.update({job.job_id: job for job in jobs})
        return [str(job.job_id) for job in jobs]

    def state(self, job_id: str, *, since: float) -> JobState:
        """How far a job is.

        Args:
            job_id: of it.
            since: time of day of its last sign of life; see `UNSURE_SECONDS`.
        """
        if self.settings.executor == "local":
            return self._local_state(job_id)
        word = self._word(job_id)
        if word in WAITING:
            return JobState("waiting", word)
        unsure = word in UNSURE and time.time() - since > UNSURE_SECONDS
        return JobState("over" if word in OVER or unsure else "running", word)

    def _executor(self) -> Any:
        import submitit

        settings = self.settings
        executor = submitit.AutoExecutor(
            folder=self.folder,
            cluster=settings.executor,
            **{f"{settings.executor}_max_num_timeout": settings.requeues},
        )
        executor.update_parameters(**parameters(settings, name=self.folder.parent.name))
        return executor

    def _word(self, job_id: str) -> str:
        """SLURM's word for a job's state; one question for all jobs."""
        from submitit.slurm.slurm import SlurmJob

        if job_id not in self._jobs:
            self._jobs[job_id] = SlurmJob(self.folder, job_id)
            self._asked = float("-inf")
        with _quiet():
            if time.monotonic() - self._asked > ASK_SECONDS:
                SlurmJob.watcher.update()
                self._asked = time.monotonic()
            return str(SlurmJob.watcher.get_state(job_id, mode="cache")).split()[0].rstrip("+")

    def _local_state(self, job_id: str) -> JobState:
        job = self._jobs.get(job_id)
        if job is not None:
            alive = job.state == "RUNNING"
        else:
            try:
                os.kill(int(job_id), 0)
                alive = True
            except (ProcessLookupError, PermissionError):
                alive = False
        return JobState("running", "RUNNING") if alive else JobState("over", "ended")


def parameters(settings: SlurmSettings, *, name: str) -> dict[str, Any]:
    """What submitit is told of each job."""
    threads = f"export OMP_NUM_THREADS={settings.cpus_per_task}"
    shared = {
        "name": name,
        "timeout_min": settings.timeout_min,
        "nodes": settings.nodes,
        "tasks_per_node": settings.tasks_per_node,
        "gpus_per_node": settings.gpus_per_node,
        "cpus_per_task": settings.cpus_per_task,
        "mem_gb": settings.mem_gb,
    }
    if settings.executor == "local":
        return {**shared, **({"local_setup": settings.setup} if settings.setup else {})}
    return {
        **shared,
        "slurm_partition": settings.partition,
        "slurm_account": settings.account,
        "slurm_qos": settings.qos,
        "slurm_signal_delay_s": settings.signal_delay_s,
        "slurm_array_parallelism": settings.array_parallelism,
        "slurm_setup": [*settings.setup, threads],
        # Since 22.05 srun does not take this over from sbatch; a rank that dies ends the others.
        "slurm_srun_args": [f"--cpus-per-task={settings.cpus_per_task}", "--kill-on-bad-exit=1"],
        "slurm_additional_parameters": {"requeue": True, **settings.additional},
    }


def cluster_of(manifest: Manifest) -> Cluster | None:
    """The cluster that a sweep runs on; None for one of this machine."""
    recorded: Mapping[str, Any] = manifest.content["launcher"]
    if "executor" not in recorded:
        return None
    known = {k: v for k, v in recorded.items() if k in SlurmSettings.model_fields}
    return Cluster(manifest.folder, validate(SlurmSettings, known, prefix="launcher"))


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the warnings and log lines that submitit writes for programmers."""
    logger = logging.getLogger("submitit")
    former, logger.level = logger.level, logging.ERROR
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.level = former
