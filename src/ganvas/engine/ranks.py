"""Several processes for one run: this process is rank 0, the others get its frozen config.

Lightning would start them by repeating the command line, which under a sweep repeats the sweep.
Here rank r is `python -m ganvas.engine.ranks RUN` and reads `RUN/config.yaml`, so no rank can
train on other values. Under torchrun or srun the ranks exist already and nothing is started; what
srun says of them is put into torchrun's words, and from there on there is one case.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from ganvas.errors import ConfigError, GanvasError, GanvasWarning, InterruptedRun

if TYPE_CHECKING:
    from ganvas.engine.build import Checked

GRACE_SECONDS = 5.0
_NOTICE_SECONDS = 2.0
_FIRST_PORT, _NUM_PORTS = 15000, 10000


def global_rank() -> int:
    """This process' rank as the launcher's environment tells it; 0 for a single process."""
    return int(os.environ.get("RANK", os.environ.get("LOCAL_RANK", "0")))


def launched_externally() -> bool:
    """Whether torchrun, srun or this module started the ranks."""
    return "LOCAL_RANK" in os.environ


def launcher() -> str | None:
    """What started this process as one rank of several: "torchrun", "srun", or None.

    Only srun sets SLURM_STEP_NUM_TASKS: the shell of sbatch or salloc has SLURM_PROCID and
    SLURM_NTASKS (the tasks that it may start) as well, and is one process for all that.
    """
    if "LOCAL_RANK" in os.environ or "RANK" in os.environ:
        return "torchrun"
    return "srun" if int(os.environ.get("SLURM_STEP_NUM_TASKS") or 1) > 1 else None


def join_srun() -> None:
    """Puts srun's variables into torchrun's words, where srun has started several processes.

    The first node of the step is the meeting point, at a port made of the job's and step's ids.
    """
    if launcher() != "srun":
        return
    from lightning_fabric.plugins.environments import SLURMEnvironment

    slurm = os.environ
    nodes = slurm.get("SLURM_STEP_NODELIST") or slurm.get("SLURM_JOB_NODELIST") or "127.0.0.1"
    ids = [int(slurm.get(name) or 0) for name in ("SLURM_JOB_ID", "SLURM_STEP_ID")]
    port = _FIRST_PORT + (ids[0] + 37 * ids[1]) % _NUM_PORTS
    os.environ.setdefault("MASTER_ADDR", SLURMEnvironment.resolve_root_node_address(nodes))
    os.environ.setdefault("MASTER_PORT", str(port))
    os.environ.update(
        RANK=slurm["SLURM_PROCID"],
        LOCAL_RANK=slurm["SLURM_LOCALID"],
        NODE_RANK=slurm.get("SLURM_NODEID", "0"),
        WORLD_SIZE=slurm["SLURM_STEP_NUM_TASKS"],
    )


def check_ranks(*, devices: int, num_nodes: int) -> None:
    """The processes that were started are those that the config asks for.

    Raises:
        ConfigError: there are more or fewer of them, or nobody starts those of other nodes.
    """
    world = devices * num_nodes
    if not launched_externally():
        if num_nodes > 1:
            raise ConfigError(
                f"trainer.num_nodes={num_nodes}: ranks on several nodes are started by torchrun or "
                "srun, this process was started by itself; see docs/cluster.md"
            )
        return
    started = int(os.environ.get("WORLD_SIZE") or world)
    if started != world:
        raise ConfigError(
            f"trainer.devices={devices} × trainer.num_nodes={num_nodes} asks for {world} "
            f"process{'es' if world > 1 else ''}, but {started} were started; set "
            "trainer.devices to the processes per node and trainer.num_nodes to the nodes"
        )


@contextmanager
def other_ranks(run: Path, checked: Checked, *, abandon: Callable[[str], None]) -> Iterator[None]:
    """Starts all ranks but 0 on this machine, if there are any; ends them when the block is left.

    If one of them dies, the run can't go on. Mostly the collective operation under way raises then;
    where it waits for ever instead, this process records the failure and ends after a few seconds.

    Args:
        run: its folder, with the frozen config.
        checked: the config; unless it sets `num_threads`, ranks share this process' CPU threads.
        abandon: writes down the reason before this process is ended.

    Raises:
        GanvasError: if a rank failed.
    """
    num_ranks = checked.settings.trainer.devices * checked.settings.trainer.num_nodes
    if num_ranks == 1 or launched_externally():
        yield
        return
    with _as_rank_0(checked, num_ranks):
        ranks = [_start(run, rank) for rank in range(1, num_ranks)]
        leaving = threading.Event()
        threading.Thread(target=_watch, args=(ranks, leaving, abandon), daemon=True).start()
        try:
            yield
            codes = [rank.wait(timeout=60) for rank in ranks]
            if any(codes):
                raise GanvasError(_death(ranks))
        except GanvasError:
            raise
        except Exception as error:  # mostly of a collective operation, when another rank is gone
            if fault := _death(ranks, seconds=_NOTICE_SECONDS):
                raise GanvasError(fault) from error
            raise
        finally:
            leaving.set()
            for rank in ranks:
                if rank.poll() is None:
                    rank.kill()
                rank.wait()
                if rank.stdin:
                    rank.stdin.close()


def threads_of_rank(checked: Checked, num_ranks: int) -> int:
    """CPU threads of each rank: its share of this process', where it starts them."""
    import torch

    threads = torch.get_num_threads()
    if num_ranks == 1 or launched_externally():
        return threads
    return checked.settings.trainer.num_threads or max(1, threads // num_ranks)


@contextmanager
def _as_rank_0(checked: Checked, num_ranks: int) -> Iterator[None]:
    """What ranks read of their environment, and this process' share of its threads."""
    import torch
    from torch import distributed

    threads, share = torch.get_num_threads(), threads_of_rank(checked, num_ranks)
    shared = {
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(_free_port()),
        "WORLD_SIZE": str(num_ranks),
        "NODE_RANK": "0",
        "LOCAL_RANK": "0",
        "OMP_NUM_THREADS": str(share),
        "GANVAS_TRUST": ",".join(checked.trust),
        **({"GANVAS_FULL_ERROR": "1"} if checked.settings.full_error else {}),
    }
    former = {key: os.environ.get(key) for key in shared}
    os.environ.update(shared)
    torch.set_num_threads(share)
    try:
        yield
    finally:
        if distributed.is_available() and distributed.is_initialized():
            distributed.destroy_process_group()  # else the next run here would talk to the dead
        torch.set_num_threads(threads)
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
                abandon(_death(ranks))
                os._exit(1)
            return


def _death(ranks: Sequence[subprocess.Popen[bytes]], *, seconds: float = 0) -> str:
    """Which rank has died and how, waiting so long for one to be dead; empty where none is."""
    end = time.monotonic() + seconds
    while not (dead := [(i, c) for i, r in enumerate(ranks, 1) if (c := r.poll())]):
        if time.monotonic() >= end:
            return ""
        time.sleep(0.02)
    rank, code = min(dead, key=lambda found: found[1])  # killed ones first: others may follow them
    how = f"was ended by signal {-code}" if code < 0 else f"ended with exit code {code}; see above"
    return f"rank {rank} {how}, so the others were stopped"


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
    # Rank 0 acts on them; the first two are heard here, too, once this rank trains (`signals`).
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR2):
        signal.signal(number, signal.SIG_IGN)
    from ganvas.engine.failures import reason_of
    from ganvas.engine.runs import read_checked
    from ganvas.engine.train import train_rank

    _end_with_parent()
    warnings.filterwarnings("ignore", category=GanvasWarning)  # rank 0 shows them
    run = Path(sys.argv[1])
    checked = read_checked(run, trust=[])
    try:
        train_rank(checked, folder=run)
    except InterruptedRun:
        return 0
    except Exception as error:
        if os.environ.get("GANVAS_FULL_ERROR", "0") not in ("", "0"):
            traceback.print_exc()
        text = reason_of(error, folder=run, checked=checked)
        sys.stderr.write(f"ganvas: rank {global_rank()}: {text}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
