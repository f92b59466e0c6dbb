"""Configs that can't be run: one clear message, exit code 2, nothing on disk."""

from __future__ import annotations

from pathlib import Path

import pytest
from engine_helpers import ganvas, train

from ganvas.paths import config_dir

NUMBER, WHOLE, TRUTH = (f"should be a valid {kind}" for kind in ("number", "integer", "boolean"))
NOT_NEGATIVE, POSITIVE = (f"should be greater than or equal to {n}" for n in (0, 1))


def names(group: str) -> str:
    """All options of a group, as a message lists them."""
    return ", ".join(sorted(p.stem for p in (config_dir() / group).glob("[!_]*.yaml")))


MISSPELT = {
    "loss.betta=4": "`loss.betta`: no such key; did you mean `beta`?",
    "seedd=1": "`seedd`: no such key; did you mean `seed`?",
    "modell=vae": "`modell`: no such key; did you mean `model`?",
    "trainer.max_epoch=3": "`trainer.max_epoch`: no such key; did you mean `max_epochs`?",
    "trainer.checkpoint.kep=3": "`trainer.checkpoint.kep`: no such key; did you mean `keep`?",
    "paths.runsdir=x": "`paths.runsdir`: no such key; did you mean `runs_dir`?",
    "network.encoder.hiden=[3]": "`network.encoder.hiden`: no such key; did you mean `hidden`?",
    "network.encodr.hidden=[3]": "`network.encodr`: no such key; did you mean `encoder`?",
    "dataset.batchsize=3": "`dataset.batchsize`: no such key; did you mean `batch_size`?",
    "dataset.source.imagesize=3": (
        "`dataset.source.imagesize`: no such key; did you mean `image_size`?"
    ),
    "optimizer.lrr=1": "`optimizer.lrr`: no such key; did you mean `lr`?",
    "latent_dim=3": "`latent_dim`: no such key; did you mean `model.latent_dim`?",
    "+loss.betta=4": "`loss.betta`: no such key; did you mean `beta`?",
    "+optimizer.lrr=1": "`optimizer.lrr`: no such key; did you mean `lr`?",
    "+network.encoder.hiden=[3]": "`network.encoder.hiden`: no such key; did you mean `hidden`?",
    "+dataset.cache_dir=x": "`dataset.cache_dir`: no such key; set paths.cache_dir",
    "+dataset.batchsize=3": "`dataset.batchsize`: no such key; did you mean `batch_size`?",
    "+trainer.max_epoch=3": "`trainer.max_epoch`: no such key; did you mean `max_epochs`?",
    "+trainer.early_stopping={patience:1,min_dela:1}": (
        "`trainer.early_stopping.min_dela`: no such key; did you mean `min_delta`?"
    ),
    "+model.latent_dims=3": "`model.latent_dims`: no such key; did you mean `latent_dim`?",
    "+sed=1": "`sed`: no such key; did you mean `seed`?",
    "model=vea": "model=vea: no such model; did you mean `vae`?",
    "loss=elbow": "loss=elbow: no such loss; did you mean `elbo`?",
    "trainer=gpus": "trainer=gpus: no such trainer; did you mean `gpu`?",
    "optimizer=xyz": f"optimizer=xyz: no such optimizer; there are: {names('optimizer')}",
    "model=null": (f"model=null: not the name of a model; there are: {names('model')}"),
    "model=": f"model=: no such model; there are: {names('model')}",
    "model=vae,ae": ("model=vae,ae: several values need -m, which trains one run for each"),
    "trainer=3": "trainer=3: not the name of a trainer; there are: auto, cpu, ddp, gpu",
    "dataset.source={path:x}": "`dataset.source.path`: no such key; there are: image_size",
    "~loss": "loss: model=vae needs one; choose loss=…",
    "~model": "`model`: a value is required",
}

WRONG_TYPE = {
    "seed=abc": f"seed: {WHOLE}, got 'abc'",
    "seed=1.5": f"seed: {WHOLE}, got 1.5",
    "seed=true": f"seed: {WHOLE}, got True",
    "test=maybe": f"test: {TRUTH}, got 'maybe'",
    "test=1": f"test: {TRUTH}, got 1",
    "tags=abc": "tags: should be a valid list, got 'abc'",
    "tags=[1]": "tags.0: should be a valid string, got 1",
    "name=[a]": "name: should be a valid string, got ['a']",
    "notes=3": "notes: should be a valid string, got 3",
    "trainer.max_epochs=2.5": f"trainer.max_epochs: {WHOLE}, got 2.5",
    "trainer.gradient_clip_val=x": f"trainer.gradient_clip_val: {NUMBER}, got 'x'",
    "trainer.compile=yes_please": f"trainer.compile: {TRUTH}, got 'yes_please'",
    "trainer.precision=64": (
        "trainer.precision: should be '32', 'bf16-mixed' or '16-mixed', got '64'"
    ),
    "trainer.accelerator=tpu": ("trainer.accelerator: should be 'auto', 'cpu' or 'gpu', got 'tpu'"),
    "optimizer.lr=fast": f"optimizer.lr: {NUMBER}, got 'fast'",
    "optimizer.betas=3": "optimizer.betas: should be a list, got 3",
    "model.latent_dim=abc": f"model.latent_dim: {WHOLE}, got 'abc'",
    "model.latent_dim=2.5": f"model.latent_dim: {WHOLE}, got 2.5",
    "network.encoder.hidden=[a]": f"network.encoder.hidden.0: {WHOLE}, got 'a'",
    "network.encoder.hidden=4": "network.encoder.hidden: should be a list, got 4",
    "dataset.batch_size=x": f"dataset.batch_size: {WHOLE}, got 'x'",
    "dataset.source.image_size=x": f"dataset.source.image_size: {WHOLE}, got 'x'",
    "dataset.name=[1]": "dataset.name: should be a valid string, got [1]",
    "loss.beta=abc": f"loss.beta: {NUMBER}, got 'abc'",
    "loss.beta=true": f"loss.beta: {NUMBER}, got True",
    "loss.beta=nan": "loss.beta: should be a finite number, got nan",
    "loss.beta=[1]": f"loss.beta: {NUMBER}, got [1]",
    "likelihood=gaussian likelihood.learn_sigma=often": (
        f"likelihood.learn_sigma: {TRUTH}, got 'often'"
    ),
}

WRONG_KIND = {
    "trainer.lr_schedule={start:1}": (
        "trainer.lr_schedule: must name a schedule by _target_, such as "
        "ganvas.schedules.CosineSchedule, got dict"
    ),
    "trainer.lr_schedule={_target_:torch.nn.ReLU}": (
        "trainer.lr_schedule: must name a schedule by _target_, such as "
        "ganvas.schedules.CosineSchedule, got ReLU"
    ),
    "logger._target_=torch.nn.ReLU": "logger: must name a Tracker by _target_, got ReLU",
    "callbacks.images=3": "callbacks.images: must name a Callback by _target_, got int",
    "+callbacks.mine._target_=torch.nn.ReLU": (
        "callbacks.mine: must name a Callback by _target_, got ReLU"
    ),
    "network.encoder=null": (
        "network=dense does not fit model=vae: encoder must name a network by _target_, got None"
    ),
    "dataset.source=null": "dataset.source: must name a data set by _target_, got None",
    "loss._target_=torch.nn.ReLU ~loss.beta ~loss.reconstruction_weight": (
        "loss=elbo does not fit model=vae: a VAELoss is needed, got ReLU"
    ),
    "optimizer._partial_=false": "`optimizer.params`: a value is required",
}

OUT_OF_RANGE = {
    "seed=-1": f"seed: {NOT_NEGATIVE}, got -1",
    "seed=4294967296": "seed: should be less than 4294967296, got 4294967296",
    "name=a/b": "name: must be a folder name without / \\ : * ? \" < > |, got 'a/b'",
    "name=..": "name: must not begin with a dot, got '..'",
    "trainer.num_threads=1000000": (
        "trainer.num_threads: should be less than or equal to 1024, got 1000000"
    ),
    "trainer.max_steps=0": f"trainer.max_steps: {POSITIVE}, got 0",
    "trainer.max_epochs=-1": f"trainer.max_epochs: {POSITIVE}, got -1",
    "trainer.max_steps=null trainer.max_epochs=null": (
        "trainer: max_epochs and max_steps can't both be null; set one of them"
    ),
    "trainer.gradient_clip_val=0": "trainer.gradient_clip_val: should be greater than 0, got 0",
    "trainer.gradient_clip_val=nan": (
        "trainer.gradient_clip_val: should be a finite number, got nan"
    ),
    "+trainer.early_stopping.patience=0": f"trainer.early_stopping.patience: {POSITIVE}, got 0",
    "loss.beta=-1": "loss.beta must be at least 0, got -1",
    "loss.beta={_target_:ganvas.schedules.LinearSchedule,start:0,end:1,steps:0}": (
        "loss: LinearSchedule: steps must be at least 1 batch, got 0"
    ),
    "model.latent_dim=0": "model=vae: latent_dim must be at least 1, got 0",
    "model=ae model.latent_dim=-3": "model=ae: latent_dim must be at least 1, got -3",
    "model=gan model.latent_dim=0": "model=gan: latent_dim must be at least 1, got 0",
    "model=gan model.n_critic=0": "model=gan: n_critic must be at least 1, got 0",
    "model=dcgan model.ema_decay=1.5": (
        "model=dcgan: ema_decay must be in [0, 1), got 1.5; null switches it off"
    ),
    "network.encoder.hidden=[0]": (
        "model=vae: encoder.layers.0.weight would have the shape (0, 64); "
        "every width in network and model must be at least 1"
    ),
    "likelihood=gaussian likelihood.sigma=0": "likelihood.sigma must be positive, got 0",
    "optimizer.lr=-1": "optimizer: Invalid learning rate: -1",
    "model=gan optimizer.critic.lr=-1": "optimizer.critic: Invalid learning rate: -1",
    "optimizer.betas=[0.9,1.5]": "optimizer: Invalid beta parameter at index 1: 1.5",
    "dataset.batch_size=0": "dataset.batch_size: must be at least 1, got 0",
    "dataset.batch_size=5000": (
        "dataset.batch_size=5000 is more than the 1350 training images of digits; "
        "choose a smaller batch_size"
    ),
    "dataset.val_size=-1": (
        "dataset.val_size: must be a count (0, 1, 2, …) or a fraction in (0, 1), got -1"
    ),
    "dataset.split_seed=-1": "dataset.split_seed: must be at least 0, got -1",
    "callbacks={images:{_target_:ganvas.callbacks.images.ImageGrids,num:0}}": (
        "callbacks.images.num must be at least 1, got 0"
    ),
}

GAN_METRICS = (
    "val/critic_loss, val/real_logit, val/fake_logit, val/real_accuracy, val/fake_accuracy, "
    "val/generator_loss, val/diversity"
)

IMPOSSIBLE = {
    "model=vae loss=non_saturating": (
        "loss=non_saturating does not fit model=vae: a VAELoss is needed, got NonSaturatingLoss"
    ),
    "model=ae loss=elbo": (
        "loss=elbo does not fit model=ae: a ReconstructionLoss is needed, got ElboLoss"
    ),
    "model=gan loss=mse": (
        "loss=mse does not fit model=gan: an AdversarialLoss is needed, got SquaredError"
    ),
    "model=dcgan likelihood=bernoulli": (
        "likelihood=bernoulli: model=dcgan brings no likelihood; leave it out, choose a model that "
        "does, or, where the model takes one, add it with +likelihood=bernoulli"
    ),
    "model=dcgan +likelihood=bernoulli": (
        "likelihood=bernoulli: model=dcgan takes no likelihood; leave likelihood= out, or choose "
        "a model that does"
    ),
    "model=vae network=dcgan": (
        "network=dcgan does not fit model=vae: its parts must be decoder and encoder, "
        "got critic and generator"
    ),
    "model=dcgan network=dense": (
        "network=dense does not fit model=dcgan: its parts must be critic and generator, "
        "got decoder and encoder"
    ),
    "model=gan optimizer=adam": (
        "optimizer=adam does not fit model=gan: one optimizer for each side is needed, "
        "got a single one; give it to one side by optimizer@optimizer.critic=…"
    ),
    "model=vae optimizer=adam_gan": (
        "optimizer=adam_gan does not fit model=vae: a single one is needed, got generator, critic"
    ),
    "model=gan ~optimizer.critic": (
        "optimizer: must have the keys critic, generator, got generator"
    ),
    "model=gan +trainer.early_stopping.patience=3": (
        "trainer.early_stopping: model=gan has no monitor of its own; set "
        f"trainer.early_stopping.monitor, one of {GAN_METRICS}, and its mode"
    ),
    "model=gan trainer.early_stopping={patience:3,monitor:val/elbo}": (
        "trainer.early_stopping.monitor=val/elbo: no such metric; did you mean `val/real_logit`?"
    ),
    "model=gan trainer.checkpoint.monitor=val/criticloss": (
        "trainer.checkpoint.monitor=val/criticloss: no such metric; did you mean `val/critic_loss`?"
    ),
    "model=gan trainer.checkpoint.monitor=val/critic_loss": (
        "trainer.checkpoint.mode: say min or max for val/critic_loss; neither is known"
    ),
    "trainer.early_stopping={patience:3,monitor:val/rate}": (
        "trainer.early_stopping.mode: say min or max for val/rate; neither is known"
    ),
    "trainer.checkpoint.monitor=val/elbow": (
        "trainer.checkpoint.monitor=val/elbow: no such metric; did you mean `val/elbo`?"
    ),
    "+trainer.early_stopping.patience=3 dataset.val_size=0": (
        "a monitor needs validation images; set dataset.val_size above 0"
    ),
    "trainer.sync_batchnorm=true": (
        "trainer: sync_batchnorm=true needs GPUs; set it to false on the CPU"
    ),
    "trainer=auto trainer.sync_batchnorm=true": (
        "trainer.sync_batchnorm=true needs GPUs; set it to false on the CPU"
    ),
    "trainer.precision=16-mixed": (
        "trainer: precision=16-mixed needs a GPU; on the CPU use 32 or bf16-mixed"
    ),
    "trainer=auto trainer.precision=16-mixed": (
        "trainer.precision=16-mixed needs a GPU; on the CPU use trainer.precision=32 or bf16-mixed"
    ),
    "trainer=gpu": "trainer.accelerator=gpu: no CUDA device was found; choose trainer=cpu",
    "trainer=ddp trainer.devices=3": (
        "dataset.batch_size=50 can't be cut into 3 equal parts (trainer.devices × num_nodes); "
        "set it to 48"
    ),
    "model=dcgan dataset=digits dataset.image_size=10": (
        "model=dcgan: the DCGAN networks make square images from 8 pixels in multiples of 4, "
        "got 10×10; set dataset.image_size to 8 or 12"
    ),
    "model=conv_vae dataset.image_size=2": (
        "model=conv_vae: 2 halvings need images of at least 4 pixels a side, got 2; "
        "use fewer channels entries or a larger dataset.image_size"
    ),
}

NOT_THERE = {
    "dataset=image_folder dataset.root=/nope": (
        "/nope: no such folder; set dataset.root to the folder with your images"
    ),
    "dataset=arrays dataset.root=/nope.npz": (
        "/nope.npz: no such file; set dataset.root to your .npz or .npy file"
    ),
    "init_from=/nope": (
        "init_from='/nope': /nope is no run folder: it has no run.json; "
        "give a folder like runs/<name>/<date-time>-<id>"
    ),
    "--config-dir /nope": "--config-dir: no such folder, got '/nope'",
}

QUOTE = "quote values with spaces or brackets, as in 'notes=\"a [b]\"'"

GRAMMAR = {
    "vae": f"`vae`: not of the form key=value (Error parsing override 'vae'); {QUOTE}",
    "loss.beta=[1": (
        f"`loss.beta=[1`: not of the form key=value (no viable alternative at input '[1'); {QUOTE}"
    ),
    "=1": "`=`: a key is missing before the equals sign",
    "--hlep": "`--hlep`: no such flag; did you mean `--help`?",
    "--zzz": "`--zzz`: no such flag; see `ganvas train --hydra-help`",
    "--config-name=evaluate": (
        "--config-name: not a flag of ganvas; there is one train.yaml; "
        "keep your own settings in experiment/<name>.yaml"
    ),
}


@pytest.mark.usefixtures("no_gpu")
@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        pytest.param(overrides, message, id=overrides)
        for table in (
            MISSPELT,
            WRONG_TYPE,
            WRONG_KIND,
            OUT_OF_RANGE,
            IMPOSSIBLE,
            NOT_THERE,
            GRAMMAR,
        )
        for overrides, message in table.items()
    ],
)
def test_a_config_that_cannot_be_run(place: Path, overrides: str, message: str) -> None:
    said = train(*overrides.split())
    assert said.message == message
    assert (said.code, said.out) == (2, "")
    assert list(place.iterdir()) == []


def test_an_unknown_top_level_key_names_the_known_ones(place: Path) -> None:
    said = train("+foo=1")
    assert said.code == 2
    assert said.message.startswith("`foo`: no such key; there are: callbacks, check, checkpoint, ")
    assert list(place.iterdir()) == []


def test_every_fault_of_a_section_is_named_at_once(place: Path) -> None:
    said = train("seed=x", "trainer.max_steps=0", "trainer.devices=two")
    assert said.message.splitlines() == [
        f"seed: {WHOLE}, got 'x'",
        f"trainer.devices: {WHOLE}, got 'two'",
        f"trainer.max_steps: {POSITIVE}, got 0",
    ]
    assert said.code == 2
    assert list(place.iterdir()) == []


def test_mnist_that_is_absent_and_cannot_be_downloaded(place: Path) -> None:
    """The download's own folder may have been made; no run was."""
    said = train("dataset=mnist", "paths.data_dir=elsewhere")
    assert said.code == 2
    raw = place / "elsewhere" / "MNIST" / "raw"
    assert said.message.startswith(f"MNIST isn't under {place / 'elsewhere'} and its download")
    assert said.message.endswith(
        "put train-images-idx3-ubyte, train-labels-idx1-ubyte, t10k-images-idx3-ubyte, "
        f"t10k-labels-idx1-ubyte under {raw}, or choose dataset=digits"
    )
    assert not (place / "runs").exists()
    assert not list(place.rglob("*.gz"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["trian"], "`trian`: no such command; did you mean `train`?"),
        (["--verbose"], "`--verbose`: no such command"),
        (["list", "model"], "list model: no such list; did you mean `models`?"),
        (["list"], "list what? There are: models, datasets, losses, penalties"),
        (["sample"], "sample needs a run's folder: ganvas sample RUN [key=value …]"),
        (["evaluate", "split=test"], "evaluate needs a run's folder: ganvas evaluate RUN"),
        (["sample", "/nope", "n=0"], f"n: {POSITIVE}, got 0"),
        (["sample", "/nope", "nn=1"], "`nn`: no such key; did you mean `n`?"),
        (["sample", "/nope", "format=gif"], "format: should be 'grid', 'png' or 'npz', got 'gif'"),
        (["sample", "/nope", "seed=-1"], f"seed: {NOT_NEGATIVE}, got -1"),
        (["evaluate", "/nope", "split=a"], "split: should be 'train', 'val' or 'test', got 'a'"),
        (["evaluate", "/nope", "batch_size=0"], f"batch_size: {POSITIVE}, got 0"),
        (["sample", "/nope"], "/nope is no run folder: it has no run.json; give a folder like"),
        (["evaluate", "/nope"], "/nope is no run folder: it has no run.json; give a folder like"),
        (["train", "resume=/nope"], "/nope is no run folder: it has no run.json; give a folder"),
        (["train", "-m", "resume=/nope"], "resume: goes on with one run; `ganvas sweep"),
    ],
)
def test_a_command_that_cannot_be_run(place: Path, arguments: list[str], message: str) -> None:
    said = ganvas(*arguments)
    assert said.message.startswith(message)
    assert (said.code, said.out) == (2, "")
    assert list(place.iterdir()) == []


@pytest.mark.parametrize(
    ("cells", "bad", "message"),
    [
        ("model=vae,vea", "model=vea", "model=vea: no such model; did you mean `vae`?"),
        ("loss.beta=1,-1", "loss.beta=-1", "loss.beta must be at least 0, got -1"),
        ("model=vae,ae loss.beta=2", "model=ae", "`loss.beta`: no such key"),
        (
            "dataset.batch_size=50,5000",
            "dataset.batch_size=5000",
            "dataset.batch_size=5000 is more than the 1350 training",
        ),
    ],
)
def test_one_bad_cell_refuses_the_whole_sweep(
    place: Path, cells: str, bad: str, message: str
) -> None:
    said = train("-m", *cells.split())
    first, second, third = said.message.splitlines()
    assert first == "1 of 2 cells can't be run:"
    assert second == f"`{bad}`:"
    assert third.startswith(f"  {message}")
    assert (said.code, said.out) == (2, "")
    assert list(place.iterdir()) == []


def test_full_error_shows_where_a_refusal_came_from(place: Path) -> None:
    said = train("loss.beta=-1", "full_error=true")
    assert said.code == 2
    assert said.err.startswith("Traceback (most recent call last):\n")
    assert said.err.endswith("ganvas: loss.beta must be at least 0, got -1\n")
    assert list(place.iterdir()) == []
