"""From what was found to one of four verdicts, and how far it reaches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ganvas.proof.comparison import Comparison, First
from ganvas.proof.conditions import Condition

EQUAL, WITHIN, DIVERGED, NOT_COMPARABLE = 0, 3, 4, 5

WORDS = {
    EQUAL: "bitwise equal",
    WITHIN: "equal within tolerance",
    DIVERGED: "diverged",
    NOT_COMPARABLE: "not comparable",
}

_BITS = ("trace", "weights", "pictures")
"""Parts that have no tolerance: they are equal, or something else was computed."""
_ROUNDING = 1e-3
"""Relative; sums in another order differ by 1e-6 at first, those of 16 bits by more."""


@dataclass(frozen=True)
class Verdict:
    """How a reproduction ended.

    Attributes:
        exit_code: 0 bitwise equal, 3 within tolerance, 4 diverged, 5 not comparable.
        words: the same in words; of a divergence with its step.
        text: what it rests on, a sentence or two.
    """

    exit_code: int
    words: str
    text: str


def not_comparable(why: str) -> Verdict:
    """The record and what would be run differ in what makes a comparison mean something."""
    return Verdict(NOT_COMPARABLE, WORDS[NOT_COMPARABLE], why)


def ruled_out(conditions: Sequence[Condition]) -> Verdict | None:
    """The verdict before any training, where a condition differs that decides."""
    found = [c for c in conditions if c.decides and c.verdict == "differs"]
    if not found:
        return None
    return not_comparable("; ".join(c.note or f"{c.name} differs" for c in found))


def judge(conditions: Sequence[Condition], comparison: Comparison, *, reach: str) -> Verdict:
    """The verdict on a re-run.

    Bits are expected where all conditions are the same, and a tolerance excuses nothing there;
    it is for metrics, where a condition differs that explains other bits.

    Args:
        conditions: that were looked at.
        comparison: what was found.
        reach: of a part of the run, in words; empty for all of it.
    """
    compared = [part for part in comparison.parts if part.outcome != "not compared"]
    if not compared:
        return not_comparable("the record holds nothing that could be compared")
    differing = [part for part in compared if part.outcome == "differs"]
    altered = next((c for c in conditions if c.name == "weights" and c.verdict == "differs"), None)
    if not differing and altered is None:
        other = [c.name for c in conditions if c.verdict == "differs"]
        return Verdict(EQUAL, WORDS[EQUAL], _claim(comparison, reach, other))
    explaining = [c for c in conditions if c.explains]
    bits = [part for part in differing if part.name.startswith(_BITS)]
    deciding = [metric for metric in comparison.moved if metric.decides]
    within = comparison.measured and all(metric.within for metric in deciding)
    if within and altered is None and (explaining or not bits):
        return Verdict(WITHIN, WORDS[WITHIN], _within(comparison, explaining))
    return _diverged(comparison, explaining, altered=altered, within=within)


def _claim(comparison: Comparison, reach: str, other: Sequence[str]) -> str:
    names = [p.name for p in comparison.parts if p.outcome == "equal"]
    left = [p.name for p in comparison.parts if p.outcome == "not compared"]
    text = _joined(names)
    if other:
        text += f", under other conditions ({_joined(other)})"
    if left:
        text += f"; not compared: {_joined(left)}"
    return f"{text} ({reach})" if reach else text


def _within(comparison: Comparison, explaining: Sequence[Condition]) -> str:
    num = sum(metric.decides for metric in comparison.moved)
    text = f"{num} metric{' differs' if num == 1 else 's differ'}, none by more than its tolerance"
    if comparison.first is not None:
        text += f"; first difference: {told(comparison.first)}"
    if explaining:
        text += f"; {_reasons(explaining)}"
    return text


def _diverged(
    comparison: Comparison,
    explaining: Sequence[Condition],
    *,
    altered: Condition | None,
    within: bool,
) -> Verdict:
    first = comparison.first
    words = WORDS[DIVERGED] if first is None else f"diverged at step {first.step}"
    parts = [p for p in comparison.parts if p.outcome == "differs"]
    if first is not None:
        text = told(first)
    elif altered is not None:
        text = altered.note
    else:
        text = "; ".join(f"{part.name}: {part.text}" for part in parts)
    if altered is not None and not parts:
        return Verdict(DIVERGED, words, f"{text}; the re-run agrees with the record")
    text += f"; {_reasons(explaining)}"
    if within:
        text += "; metrics agree within their tolerance, which excuses nothing here"
    return Verdict(DIVERGED, words, text)


def _reasons(explaining: Sequence[Condition]) -> str:
    differ = [f"{c.name} ({c.recorded} → {c.here})" for c in explaining if c.verdict == "differs"]
    if differ:
        return f"what differs: {_joined(differ)}"
    unknown = [c.name for c in explaining if c.verdict == "unknown"]
    if unknown:
        return f"not recorded, and so perhaps other: {_joined(unknown)}"
    return "the run was not deterministic" if explaining else "no recorded condition differs"


def told(first: First) -> str:
    """`loss of step 17 was 0.25, now 0.26`, in full precision."""
    was = "absent" if first.recorded is None else repr(first.recorded)
    now = "absent" if first.here is None else repr(first.here)
    text = f"{first.term} of step {first.step} was {was}, now {now}"
    if first.recorded is not None and first.here is not None:
        gap = abs(first.here - first.recorded)
        if gap > _ROUNDING * abs(first.recorded):
            text += " (too far for rounding: something else was computed)"
    return text


def _joined(names: Sequence[str]) -> str:
    names = list(dict.fromkeys(names))
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
