"""Train, kill, resume, reproduce, export, reproduce: what README shows, into prove.txt.

    python experiments/faults/prove.py

The run is killed with SIGKILL once it has recorded 250 of its 400 steps. Folders are shortened.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
TRAIN = (
    "train", "model=dcgan", "network.generator.width=16", "network.critic.width=16", "name=proof",
    "trainer.max_epochs=null", "trainer.max_steps=400", "trainer.checkpoint.every_n_steps=100",
    "trainer.progress_bar=false",
)  # fmt: skip
KILLED_AFTER = 250


def command(*arguments: str) -> list[str]:
    """`ganvas` of this interpreter."""
    return [sys.executable, "-m", "ganvas", *arguments]


def recorded_steps(place: Path) -> int:
    """Lines of the trace."""
    return sum(file.read_text().count("\n") - 1 for file in place.glob("runs/proof/*/trace.csv"))


def killed(place: Path) -> Path:
    """Train until it is killed; the run's folder."""
    process = subprocess.Popen(
        command(*TRAIN), cwd=place, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    while recorded_steps(place) < KILLED_AFTER:
        if process.poll() is not None:
            raise RuntimeError(f"it ended before it was killed: {process.returncode}")
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    [run] = place.glob("runs/proof/*")
    return run.relative_to(place)


def said(place: Path, *arguments: str) -> tuple[int, list[str]]:
    """Exit code and standard output of a command."""
    done = subprocess.run(
        command(*arguments), cwd=place, stdout=subprocess.PIPE, text=True, check=False,
        env={**os.environ, "COLUMNS": "80"},
    )  # fmt: skip
    return done.returncode, [line.rstrip() for line in done.stdout.splitlines()]


def main() -> None:
    """Run it all, and write down what was typed and said."""
    with tempfile.TemporaryDirectory() as name:
        place = Path(name).resolve()
        os.environ["GANVAS_RUNS_DIR"] = "runs"
        run = killed(place)
        steps = recorded_steps(place)
        lines = [
            f"$ ganvas {' '.join(TRAIN[:4])} \\",
            f"    {' '.join(TRAIN[4:-1])} &",
            "$ kill -9 $!",
        ]
        lines += [f"(its trace has {steps} of 400 steps)", "$ ganvas train resume=RUN"]
        code, out = said(place, "train", f"resume={run}", "trainer.progress_bar=false")
        lines += [line for line in out if line.startswith("status")]
        lines.append(f"$ ganvas reproduce RUN{_code(code)}")
        code, out = said(place, "reproduce", str(run))
        lines += [*_shown(out), f"$ echo $?\n{code}", "$ ganvas export RUN proof.zip"]
        code, _ = said(place, "export", str(run), "proof.zip")
        lines.append(f"$ ganvas reproduce proof.zip{_code(code)}")
        code, out = said(place, "reproduce", "proof.zip")
        lines += [*_shown(out)[-1:], f"$ echo $?\n{code}"]
    (HERE / "prove.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _shown(out: list[str]) -> list[str]:
    """Without the lines that name folders, and without the last empty one."""
    lines = [line for line in out if not line.startswith(("reproducing", "re-run"))]
    return "\n".join(lines).rstrip().splitlines()


def _code(code: int) -> str:
    return f"   # after exit code {code}" if code else ""


if __name__ == "__main__":
    main()
