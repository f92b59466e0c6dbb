"""What the server of jobs imports before the first fork. Nothing of it may start a thread.

`wandb.init` imports two more modules of W&B, slowly: more than a second for each cell.
"""

import torchmetrics  # noqa: F401
import torchvision  # noqa: F401
import wandb.apis.public
import wandb.sdk.launch.inputs.internal  # noqa: F401

import ganvas.engine.evaluate
import ganvas.models.vae.vae
import ganvas.sweep.job  # noqa: F401
