"""A SLURM cluster of one machine: sbatch, srun, sacct, scontrol and scancel, as programs.

`python fake_slurm.py COMMAND ARGUMENTS…` with its state in the folder FAKE_SLURM: what was given to
sbatch as `script-<id>.sh`, and of each job its process, exit code and whether it is requeued.
FAKE_SLURM_HOLD leaves jobs in the queue until `release` is called.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

STATE = Path(os.environ.get("FAKE_SLURM", "."))
PROGRAMS = ("sbatch", "srun", "sacct", "scontrol", "scancel")


def install(folder: Path) -> Path:
    """Puts the programs into a folder, for PATH."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in PROGRAMS:
        program = folder / name
        program.write_text(f'#!/bin/sh\nexec {sys.executable} -S {__file__} {name} "$@"\n')
        program.chmod(0o755)
    return folder


def options(script: str) -> dict[str, str]:
    """The options of a script's #SBATCH lines."""
    found = re.findall(r"^#SBATCH --([\w-]+)(?:=(.*))?$", script, re.MULTILINE)
    return {key: value.strip("'") for key, value in found}


def sbatch(file: str) -> None:
    script = Path(file).read_text()
    number = 1234 + len(list(STATE.glob("script-*.sh")))
    (STATE / f"script-{number}.sh").write_text(script)
    array = re.match(r"(\d+)-(\d+)", options(script).get("array", ""))
    tasks = range(int(array[1]), int(array[2]) + 1) if array else [None]
    for task in tasks:
        job = f"{number}" if task is None else f"{number}_{task}"
        (STATE / f"{job}.queued").touch()
        if "FAKE_SLURM_HOLD" not in os.environ:
            release(job)
    sys.stdout.write(f"Submitted batch job {number}\n")


def release(job: str) -> subprocess.Popen[bytes]:
    """Lets a job of the queue begin."""
    command = [sys.executable, "-S", __file__, "run", job]
    return subprocess.Popen(
        command,
        start_new_session=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def run(job: str) -> None:
    """A job from its beginning to its end, requeuing included."""
    number, _, task = job.partition("_")
    script = STATE / f"script-{number}.sh"
    asked = options(script.read_text())
    environment = os.environ | {
        "SLURM_JOB_ID": str(int(number) + int(task or 0)),
        "SLURM_JOB_NAME": asked["job-name"],
        "SLURM_JOB_NODELIST": "localhost",
        "SLURM_NTASKS": asked.get("ntasks-per-node", "1"),
        "SLURM_PROCID": "0",  # as in a real batch script, which is no rank
        "SLURM_LOCALID": "0",
    }
    if task:
        environment |= {"SLURM_ARRAY_JOB_ID": number, "SLURM_ARRAY_TASK_ID": task}
    while True:
        process = subprocess.Popen(["bash", script], env=environment)
        (STATE / f"{job}.pid").write_text(str(process.pid))
        code = process.wait()
        (STATE / f"{job}.pid").unlink()
        if not (STATE / f"{job}.requeue").exists():
            break
        (STATE / f"{job}.requeue").unlink()
    (STATE / f"{job}.code").write_text(str(code))


def srun(*arguments: str) -> None:
    """The tasks of a step, side by side; the worst exit code."""
    rest, files = list(arguments), {}
    while rest and rest[0].startswith("--"):
        name = rest.pop(0)
        if name in ("--output", "--error"):
            files[name] = rest.pop(0)
    number = int(os.environ.get("SLURM_NTASKS", "1"))
    ids = {"%A": "SLURM_ARRAY_JOB_ID", "%a": "SLURM_ARRAY_TASK_ID", "%j": "SLURM_JOB_ID"}
    shared = {"SLURM_STEP_ID": "0", "SLURM_STEP_NUM_TASKS": str(number), "SLURM_NODEID": "0"}
    tasks = []
    for rank in range(number):
        streams = {}
        for option, stream in (("--output", "stdout"), ("--error", "stderr")):
            if option in files:
                path = files[option].replace("%t", str(rank))
                for mark, variable in ids.items():
                    path = path.replace(mark, os.environ.get(variable, ""))
                streams[stream] = Path(path).open("ab")  # noqa: SIM115
        told = shared | {"SLURM_PROCID": str(rank), "SLURM_LOCALID": str(rank)}
        tasks.append(subprocess.Popen(rest, env=os.environ | told, **streams))
    sys.exit(max(abs(task.wait()) for task in tasks))


def sacct(*arguments: str) -> None:
    """The states of all jobs, as `--parsable2` shows them."""
    del arguments
    sys.stdout.write("JobID|State|NodeList\n")
    for queued in STATE.glob("*.queued"):
        code = queued.with_suffix(".code")
        word = "RUNNING" if queued.with_suffix(".pid").exists() else "PENDING"
        if code.exists():
            word = {"0": "COMPLETED", "cancelled": "CANCELLED by 1000"}.get(
                code.read_text(), "FAILED"
            )
        sys.stdout.write(f"{queued.stem}|{word}|localhost\n")


def scontrol(action: str, job: str) -> None:
    assert action == "requeue", action
    (STATE / f"{job}.requeue").touch()


def scancel(job: str) -> None:
    (STATE / f"{job}.code").write_text("cancelled")
    with suppress(FileNotFoundError, ProcessLookupError):
        os.kill(int((STATE / f"{job}.pid").read_text()), signal.SIGTERM)


if __name__ == "__main__":
    globals()[sys.argv[1]](*sys.argv[2:])
