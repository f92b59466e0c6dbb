"""Numbers and texts as a person reads them."""

from __future__ import annotations

import math
from typing import Any

from ganvas.report.groups import Group, Statistic
from ganvas.report.view import RunView

_FINEST = 8  # decimals; beyond them a value is shown with an exponent

STATUSES = ("finished", "running", "queued", "failed", "interrupted", "killed")


def measured(mean: float, error: float | None) -> str:
    """`31.77 ± 0.12`: the error with two significant digits, the mean to the same place."""
    if not math.isfinite(mean):
        return str(mean)
    if error is None or error == 0 or not math.isfinite(error):
        return number(mean) if error is None else f"{number(mean)} ± {error:g}"
    decimals = 1 - int(f"{error:.1e}".partition("e")[2])
    if decimals > _FINEST or abs(mean) >= 10**_FINEST:
        return f"{mean:.6g} ± {error:.1e}"
    if decimals <= 0:
        return f"{round(mean, decimals):.0f} ± {round(error, decimals):.0f}"
    return f"{mean:.{decimals}f} ± {error:.{decimals}f}"


def number(value: float) -> str:
    """Five significant digits, without an exponent where that is short."""
    if not math.isfinite(value):
        return str(value)
    return f"{value:.0f}" if 10**5 <= abs(value) < 10**_FINEST else f"{value:.5g}"


def told(statistic: Statistic, group: Group) -> str:
    """A cell of a table; the number of seeds where it is not that of the group."""
    if statistic.mean is None:
        return "protocols differ" if len(statistic.protocols) > 1 else ""
    text = measured(statistic.mean, statistic.error)
    return text if statistic.count == group.seeds else f"{text} (n={statistic.count})"


def seconds(value: float | None) -> str:
    """`4.2 s`, `12:03`, `3:25:10`."""
    if value is None:
        return ""
    if value < 100:  # noqa: PLR2004
        return f"{value:.1f} s"
    minutes, rest = divmod(round(value), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def memory(mib: float | None) -> str:
    """`912 MiB`, `11.3 GiB`."""
    if mib is None:
        return ""
    return f"{mib:,.0f} MiB" if mib < 10_000 else f"{mib / 1024:.1f} GiB"  # noqa: PLR2004


def counts(group: Group) -> str:
    """`2 finished, 1 failed`."""
    return ", ".join(f"{group.counts[s]} {s}" for s in STATUSES if group.counts.get(s))


def unfinished(run: RunView) -> str:
    """`failed: model=vae seed=2: RuntimeError: …  (vae_digits/2026-…)`."""
    reason = f": {run.reason}" if run.reason else ""
    return printable(f"{run.status}: {run.label}{reason}  ({run.place})")


def printable(value: Any) -> str:
    """One line that a terminal shows and does not obey: control characters become escapes."""
    text = str(value)
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
