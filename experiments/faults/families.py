"""A tiny run of each family, with all that makes resuming hard."""

from __future__ import annotations

SIZE = (
    "trainer=cpu",
    "logger=none",
    "trainer.progress_bar=false",
    "trainer.max_epochs=3",
    "trainer.log_every_n_steps=5",
    "trainer.checkpoint.every_n_steps=4",
    "trainer.checkpoint.keep=2",
    "dataset.max_train=240",
    "dataset.batch_size=20",
    "callbacks.images.num=4",
    "callbacks.images.every_n_epochs=1",
)
"""36 batches in three epochs, a validation and pictures after each, a test at the end."""

FAMILIES = {
    "ae": (
        "model=ae",
        "network.encoder.hidden=[32]",
        "network.decoder.hidden=[32]",
        "+network.encoder.dropout=0.1",
    ),
    "vae": (
        "model=vae",
        "network.encoder.hidden=[32]",
        "network.decoder.hidden=[32]",
        "loss.beta={_target_:ganvas.schedules.LinearSchedule,start:0,end:1,steps:25}",
    ),
    "vq_vae": (
        "model=vq_vae",
        "model.num_codes=16",
        "model.code_dim=8",
        "network.map_encoder.width=4",
        "network.map_decoder.width=4",
    ),
    "factor_vae": (
        "model=factor_vae",
        "network.encoder.hidden=[32]",
        "network.decoder.hidden=[32]",
        "network.critic.hidden=[64,64]",
        "trainer.gradient_clip_val=1",
    ),
    "gan": (
        "model=gan",
        "network.generator.hidden=[32,64]",
        "network.critic.hidden=[64,32]",
        "network.generator.dropout=0.1",
        "network.critic.dropout=0.1",
        "penalty=r1",
        "penalty.r1.interval=2",
        "model.n_critic=2",
        "model.ema_decay=0.9",
        "trainer.lr_schedule={_target_:ganvas.schedules.CosineSchedule,start:1,end:0.1,steps:30}",
    ),
}
"""Of the issue's list: what each is besides its size."""

RANKS = ("trainer=ddp", "trainer.accelerator=cpu", "trainer.num_threads=1")
"""Two processes, one thread each."""

WANDB = ("logger=wandb", "logger.mode=offline")
