"""Which rank has died, and how, in words."""

from __future__ import annotations

import signal
import subprocess
import sys

from ganvas.engine.ranks import _death


def test_a_dead_rank_is_named() -> None:
    """The killed one, though another has failed in its wake; none while all live."""
    waits = [sys.executable, "-S", "-c", "input()"]
    fails = [sys.executable, "-S", "-c", "input(); raise SystemExit(1)"]
    ranks = [subprocess.Popen(code, stdin=subprocess.PIPE) for code in (fails, waits, waits)]
    try:
        assert _death(ranks) == ""
        ranks[1].kill()
        ranks[1].wait()
        ranks[0].communicate(b"\n")
        assert _death(ranks).startswith(f"rank 2 was ended by signal {int(signal.SIGKILL)}")
        assert _death(ranks[:1]).startswith("rank 1 ended with exit code 1; see above")
    finally:
        for rank in ranks:
            rank.kill()
            rank.communicate()
