"""Several processes for one run: this process is rank 0, the others get its frozen config.

Lightning would start them by repeating the command line, which under a sweep repeats the sweep.
Here rank r is `python -m ganvas.engine.ranks RUN` and reads `RUN/config.yaml`, so no rank can
train on other values. Under torchrun or srun the ranks exist already and nothing is started.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ganvas.errors import GanvasError, GanvasWarning

GRACE_SECONDS = 5.0


def global_rank() -> int:
    """This process' rank as the launcher's environment tells it; 0 for a single process."""
    return int(os.environ.get("RANK", os.environ.get("LOCAL_RANK", "0")))


def launched_externally() -> bool:
    """Whether torchrun, srun or this module started the ranks."""
    return "LOCAL_RANK" in os.environ


@contextmanager
def other_ranks(
    run: Path, *, num_ranks: int, trust: tuple[str, ...], abandon: Callable[[str], None]
) -> Iterator[None]:
    """Starts ranks 1 … num_ranks − 1 on this machine; ends them when the block is left.

    If one of them dies, the run can't go on. Mostly the collective operation under way raises then;
    where it waits for ever instead, this process records the failure and ends after a few seconds.

    Args:
        run: its folder, with the frozen config.
        num_ranks: of the run, this process included.
        trust: trusted modules.
        abandon: writes down the reason before this process is ended.

    Raises:
        GanvasError: if a rank failed.
    """
    if num_ranks == 1 or launched_externally():
        yield
        return
    shared = {
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(_free_port()),
        "WORLD_SIZE": str(num_ranks),
        "NODE_RANK": "0",
        "GANVAS_TRUST": ",".join(trust),
    }
    former = {key: os.environ.get(key) for key in (*shared, "LOCAL_RANK")}
    os.environ.update(shared, LOCAL_RANK="0")
    ranks = [_start(run, rank) for rank in range(1, num_ranks)]
    leaving = threading.Event()
    threading.Thread(target=_watch, args=(ranks, leaving, abandon), daemon=True).start()
    try:
        yield
        codes = [rank.wait(timeout=60) for rank in ranks]
        if any(codes):
            raise GanvasError(f"a rank ended with exit code {max(codes, key=abs)}; see above")
    finally:
        leaving.set()
        for rank in ranks:
            if rank.poll() is None:
                rank.kill()
            rank.wait()
            if rank.stdin:
                rank.stdin.close()
        for key, value in former.items():
            if value is None:
                os.environ.pop(key, None)
            else:
                os.environ[key] = value


def _watch(
    ranks: list[subprocess.Popen[bytes]],
    leaving: threading.Event,
    abandon: Callable[[str], None],
) -> None:
    """End this process if a rank has died and the main thread does not notice in time."""
    while not leaving.wait(0.5):
        if any(rank.poll() not in (None, 0) for rank in ranks):
            if not leaving.wait(GRACE_SECONDS):
                abandon("another rank died")
                os._exit(1)
            return


def _start(run: Path, rank: int) -> subprocess.Popen[bytes]:
    """One rank; it ends itself when its standard input closes, so it never outlives this one."""
    environment = os.environ | {"LOCAL_RANK": str(rank)}
    return subprocess.Popen(
        [sys.executable, "-m", "ganvas.engine.ranks", str(run)],
        stdin=subprocess.PIPE,
        env=environment,
    )


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _end_with_parent() -> None:
    def watch() -> None:
        while os.read(0, 1):  # not sys.stdin: its lock aborts the interpreter's end
            pass
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def main() -> int:
    """A rank other than 0: the run's frozen config, no record, no output."""
    from ganvas.callbacks.checkpoints import InterruptedRun
    from ganvas.engine.runs import read_checked
    from ganvas.engine.train import train_rank

    _end_with_parent()
    warnings.filterwarnings("ignore", category=GanvasWarning)  # rank 0 shows them
    run = Path(sys.argv[1])
    with suppress(InterruptedRun):
        train_rank(read_checked(run, trust=[]), folder=run)
    return 0


if __name__ == "__main__":
    sys.exit(main())
