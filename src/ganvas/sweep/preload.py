"""What the server of jobs imports before the first fork. Nothing of it may start a thread."""

import torchmetrics  # noqa: F401
import torchvision  # noqa: F401
import wandb  # noqa: F401

import ganvas.engine.evaluate
import ganvas.models.vae.vae
import ganvas.sweep.job  # noqa: F401
