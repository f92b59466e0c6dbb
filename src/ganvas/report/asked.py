"""What the user asks for: keys to group by and metrics to show, found or refused."""

from __future__ import annotations

import difflib
import re
from collections import Counter
from collections.abc import Iterable, Sequence

from ganvas.errors import ConfigError
from ganvas.report.view import RunView

HANDFUL = 4
"""Metrics that are shown unless the user names others."""

_LISTED = 12
_OF_DIMENSION = re.compile(r"/kl_\d+$")
_TELLING = ("elbo", "fid", "fd_", "reconstruction_mse", "iwae", "log_likelihood", "score_")
"""Beginnings of parts that say most, the first one first; the training objective says least."""


def choose_metrics(runs: Sequence[RunView], asked: Sequence[str] | None) -> list[str]:
    """The metrics to show.

    Args:
        runs: of the collection.
        asked: by the user; None for those with a direction that most runs have: of the test
            split, or where there is none of validation; a handful, `_TELLING` ones first.

    Raises:
        ConfigError: no run has a metric that was asked for.
    """
    held = Counter(name for run in runs for name in run.values)
    if asked is None:
        return rated_metrics(runs)[:HANDFUL] or _plain(held)[:HANDFUL]
    for name in asked:
        if name not in held:
            have = "no run has it" if held else "no run has any value yet"
            raise ConfigError(f"metric={name}: {have}{suggestion(name, _plain(held))}")
    return list(dict.fromkeys(asked))


def rated_metrics(runs: Sequence[RunView]) -> list[str]:
    """Metrics of one split that have a direction and that most runs have, telling ones first."""
    for split in ("test/", "val/"):
        held = Counter(
            name
            for run in runs
            for name, value in run.values.items()
            if name.startswith(split) and value.higher is not None
        )
        most = max(held.values(), default=0)
        if common := [name for name, count in held.items() if 2 * count > most]:
            return sorted(common, key=lambda name: (_rank(name), -held[name]))
    return []


def _rank(name: str) -> int:
    part = name.partition("/")[2]
    if part == "loss":
        return len(_TELLING) + 1
    starts = [part.startswith(start) for start in _TELLING]
    return starts.index(True) if True in starts else len(_TELLING)


def _plain(held: Iterable[str]) -> list[str]:
    """Without the values of single dimensions, of which there are many; later splits first."""
    order = {"test": 0, "val": 1}
    names = [name for name in held if not _OF_DIMENSION.search(name)]
    return sorted(names, key=lambda name: order.get(name.partition("/")[0], 2))


def check_keys(runs: Sequence[RunView], by: Sequence[str]) -> None:
    """Some run has each key.

    Raises:
        ConfigError: none has it.
    """
    known = {key for run in runs for key in run.config}
    for key in by:
        if key not in known:
            raise ConfigError(f"by={key}: no run has such a key{suggestion(key, sorted(known))}")


def suggestion(word: str, known: Sequence[str]) -> str:
    """`; did you mean …?`, or the known names where none is near."""
    last = re.split(r"[./]", word)[-1]
    ending = [name for name in known if re.split(r"[./]", name)[-1] == last]
    near = list(dict.fromkeys([*ending, *difflib.get_close_matches(word, known, n=3, cutoff=0.6)]))
    if near:
        return f"; did you mean {' or '.join(f'`{name}`' for name in near[:3])}?"
    if not known:
        return ""
    more = f", and {len(known) - _LISTED} more" if len(known) > _LISTED else ""
    return f"; there are: {', '.join(known[:_LISTED])}{more}"
