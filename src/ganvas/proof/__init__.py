"""Runs that are proved: exported, run again, and compared with what was recorded."""
