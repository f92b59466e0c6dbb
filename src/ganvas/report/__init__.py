"""Run folders read and compared. Read `collect.py` first, then `groups.py`."""
