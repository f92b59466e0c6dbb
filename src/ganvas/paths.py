"""Where the YAML lies."""

from __future__ import annotations

from pathlib import Path


def config_dir() -> Path:
    """The packaged `ganvas/conf` of an installed wheel, or else the checkout's `conf/`."""
    packaged = Path(__file__).parent / "conf"
    return packaged if packaged.is_dir() else Path(__file__).parents[2] / "conf"
