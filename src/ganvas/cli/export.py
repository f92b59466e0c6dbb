"""`ganvas export RUN [out.zip]`: a run in one file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ganvas.cli.arguments import one_of, split, switch
from ganvas.errors import ConfigError

OPTIONS = ("checkpoint", "overwrite", "out")
USAGE = "ganvas export RUN [OUT.zip] [checkpoint=both|best|last|none overwrite=true]"


def export(arguments: Sequence[str]) -> int:
    """Write the zip; the exit code.

    Raises:
        GanvasError: for an unknown option, no run, or a file that can't be written.
    """
    paths, options = split(arguments, OPTIONS, usage=USAGE)
    out = Path(options["out"]) if "out" in options else None
    if len(paths) > 2 or (out and len(paths) > 1):  # noqa: PLR2004
        raise ConfigError(f"export takes one run and one zip: {USAGE}")
    from ganvas.engine.archive import find_run
    from ganvas.engine.export import CHECKPOINTS
    from ganvas.engine.export import export as exported

    made = exported(
        find_run(paths[0]),
        out or (paths[1] if paths[1:] else None),
        checkpoint=one_of("checkpoint", options, tuple(CHECKPOINTS)),
        overwrite=switch("overwrite", options),
    )
    for name, told in made.weights.items():
        print(f"{name}  step {told['step']}, sha256 {told['sha256'][:12]}…")
    for path in made.foreign:
        print(f"(of this machine alone: {path}; another one needs its own)")
    print("(left out: log.txt, wandb/, optimiser state, periodic checkpoints, drawn pictures)")
    print(f"{made.file}  {made.file.stat().st_size / 1e6:.1f} MB")
    return 0
