"""Many runs under one manifest. Read `manifest.py` first, then `driver.py` and `job.py`."""
