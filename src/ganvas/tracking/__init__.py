"""Run records and the trackers that show them. Read `record.py` first, then `hub.py`."""

from ganvas.tracking.base import Animates, NullTracker, Ready, Tracker
from ganvas.tracking.files import find_runs, read_run_json
from ganvas.tracking.hub import Hub
from ganvas.tracking.lock import holder
from ganvas.tracking.record import RunRecord, Status
from ganvas.tracking.redact import config_hash, redact, redact_text, remember, secretless
from ganvas.tracking.tables import metrics_frame
from ganvas.tracking.tensorboard_logger import TensorBoardTracker
from ganvas.tracking.wandb_logger import WandbTracker

__all__ = [
    "Animates",
    "Hub",
    "NullTracker",
    "Ready",
    "RunRecord",
    "Status",
    "TensorBoardTracker",
    "Tracker",
    "WandbTracker",
    "config_hash",
    "find_runs",
    "holder",
    "metrics_frame",
    "read_run_json",
    "redact",
    "redact_text",
    "remember",
    "secretless",
]
