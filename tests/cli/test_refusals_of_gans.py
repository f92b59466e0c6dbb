"""GANs asked for what they can't do: one clear message, exit code 2, nothing on disk."""

from __future__ import annotations

from pathlib import Path

import pytest
from engine_helpers import ganvas, only_run, train

from ganvas.paths import config_dir


def names(group: str) -> str:
    """All options of a group, as a message lists them."""
    return ", ".join(sorted(p.stem for p in (config_dir() / group).glob("[!_]*.yaml")))


OFF = "; 0 leaves its term out of the objective"
NO_LABELS = (
    "model=gan: label_smoothing, label_noise and label_flips must be 0 with RelativisticLoss, "
    "which compares pairs and has no labels, got "
)

LOSSES = {
    "model=_gan": "model._target_: must be the dotted path of a class, got ''",
    "loss=[hinge,minimax]": (
        "loss=[hinge,minimax]: takes one loss, not a list; -m loss=hinge,minimax trains one run "
        "for each"
    ),
    "optimizer@optimizer.critic=[sgd,adam]": (
        "optimizer@optimizer.critic=[sgd,adam]: takes one optimizer, not a list; -m "
        "optimizer@optimizer.critic=sgd,adam trains one run for each"
    ),
    "loss=hinge,minimax": (
        "loss=hinge,minimax: several values need -m, which trains one run for each"
    ),
    "penalty=r1,r2": (
        "penalty=r1,r2: several values need -m, which trains one run for each; a list is written "
        "penalty=[r1,r2]"
    ),
    "loss=hinged": "loss=hinged: no such loss; did you mean `hinge`?",
    "loss=elbo": "loss=elbo does not fit model=gan: an AdversarialLoss is needed, got ElboLoss",
    "loss=least_squares loss.b=0": (
        "loss.b must differ from a, the label of fake images, got 0 for both"
    ),
    "loss=relativistic model.label_smoothing=0.1": (
        f"{NO_LABELS}Labels(smoothing=0.1, noise=0.0, flips=0.0)"
    ),
    "loss=relativistic model.label_noise=0.2": (
        f"{NO_LABELS}Labels(smoothing=0.0, noise=0.2, flips=0.0)"
    ),
    "loss=relativistic model.label_flips=0.3": (
        f"{NO_LABELS}Labels(smoothing=0.0, noise=0.0, flips=0.3)"
    ),
    **{
        f"model.label_{name}={value}": f"model=gan: label_{name} must be in [0, 1), got {value}"
        for name in ("smoothing", "noise", "flips")
        for value in ("1", "-0.1")
    },
    "model.label_smoothing=0.6 model.label_noise=0.5": (
        "model=gan: label_smoothing + label_noise must be at most 1, so that labels stay in "
        "[0, 1], got 0.6 + 0.5"
    ),
}

PENALTIES = {
    "penalty=[r1,r1]": "penalty=[r1,r1]: `r1` does nothing there; name it once",
    "penalty=[none,r1]": "penalty=[none,r1]: `none` does nothing there; leave it out",
    "penalty.r1.weight=2": "`penalty.r1`: penalty=r1 is not chosen; add penalty=r1",
    "penalty=r1 penalty.r2.weight=2": (
        "`penalty.r2`: penalty=r2 is not chosen; add penalty=[r1,r2]"
    ),
    "penalty=r3": f"penalty=r3: no such penalty; there are: {names('penalty')}",
    "penalty=[r1,r3]": f"penalty=r3: no such penalty; there are: {names('penalty')}",
    "penalty=r1 penalty.r1.weight=-1": f"penalty.r1.weight must be at least 0, got -1{OFF}",
    "penalty=[r1,r2] penalty.r2.weight=-1": f"penalty.r2.weight must be at least 0, got -1{OFF}",
    "penalty=r1 penalty.r1.weight=heavy": (
        "penalty.r1.weight: should be a valid number, got 'heavy'"
    ),
    "penalty=r1 penalty.r1.weight=inf": "penalty.r1.weight: should be a finite number, got inf",
    "penalty=gradient_penalty penalty.gradient_penalty.interval=0": (
        "penalty.gradient_penalty.interval must be at least 1 critic step, got 0"
    ),
    "penalty=r2 penalty.r2.interval=2.5": (
        "penalty.r2.interval: should be a valid integer, got 2.5"
    ),
    "penalty=dragan penalty.dragan.scale=-1": (
        f"penalty.dragan.scale must be at least 0, got -1{OFF}"
    ),
    "penalty=weight_clipping penalty.weight_clipping.limit=0": (
        "penalty.weight_clipping.limit must be positive, got 0"
    ),
    "penalty=r1 penalty.r1.limit=1": (
        "`penalty.r1.limit`: no such key; there are: interval, weight; an argument that the YAML "
        "leaves out is added with +penalty.r1.limit=…"
    ),
    "+penalty._target_=ganvas.losses.penalties.R1 +penalty.weight=1 +penalty.interval=1": (
        "penalty=none does not fit model=gan: each Penalty needs a name "
        "({mine: {_target_: …}}), got a bare R1"
    ),
    "+penalty.mine._target_=torch.nn.ReLU": (
        "penalty=none does not fit model=gan: a Penalty is needed, got ReLU"
    ),
    "+penalty.mine=3": "penalty=none does not fit model=gan: a Penalty is needed, got int",
}

OPTIMIZERS = {
    "optimizer=adam": (
        "optimizer=adam does not fit model=gan: one optimizer for each side is needed, got a "
        "single one; give it to one side by optimizer@optimizer.critic=…"
    ),
    "optimizer@optimizer.critic=sdg": "optimizer=sdg: no such optimizer; did you mean `sgd`?",
    "optimizer@optimizer.critic=adam_ttur": (
        "optimizer=adam_gan does not fit model=gan: a single one is needed, got generator, critic"
    ),
    "optimizer.critic.lr=-1": "optimizer.critic: Invalid learning rate: -1",
}


TRICKS = {
    "model.n_critic=0": "model=gan: n_critic must be at least 1, got 0",
    "model.n_critic=3": (
        "model.n_critic=3: must be at most 2, the critic steps in the budget of 2 batches, or the "
        "generator never steps; lower it, or raise trainer.max_steps"
    ),
    "model.n_critic=20 dataset.max_train=100 dataset.batch_size=10 trainer.max_steps=null "
    "trainer.max_epochs=3 trainer.accumulate_grad_batches=4": (
        "model.n_critic=20: must be at most 9, the critic steps in the budget of 30 batches, or "
        "the generator never steps; lower it, or raise trainer.max_epochs"
    ),
    "model.ema_decay=1": "model=gan: ema_decay must be in [0, 1), got 1; null switches it off",
    "model.ema_warmup=-1": "model=gan: ema_warmup must be at least 0 generator steps, got -1",
    "model.prior=cauchy": "model.prior: should be 'normal' or 'uniform', got 'cauchy'",
    "model.instance_noise=-0.5": "model=gan: instance_noise must be at least 0, got -0.5",
    "model.augment=[colour]": (
        "model=gan: augment must be of color, translation, cutout, got 'colour'"
    ),
    "model.replay=-1": "model=gan: replay must be at least 0 images, got -1",
}

POINTS = {
    "dataset=mixture2d dataset.source.side=0": "dataset.source.side: must be at least 1, got 0",
    "dataset=mixture2d dataset.source.sigma=0": "dataset.source.sigma: must be positive, got 0",
    "dataset=mixture2d dataset.source.sigma=0.1": (
        "dataset.source.margin: must be at least 6 sigma = 0.6, so that all points are in the "
        "square, got 0.5"
    ),
    "dataset=mixture2d network=dcgan": (
        "model=gan: the DCGAN networks make square images from 8 pixels in multiples of 4, got "
        "points of the plane; choose network=points or network=dense_gan"
    ),
    "dataset=mixture2d dataset.binarization=threshold": (
        "dataset.binarization: must be null for data of float32, got 'threshold'"
    ),
    "network=points network.critic.scale=0": (
        "model=gan: scale must be positive, got 0; 1 leaves values as they are"
    ),
}


@pytest.mark.parametrize(
    ("overrides", "message"),
    [*LOSSES.items(), *PENALTIES.items(), *OPTIMIZERS.items(), *TRICKS.items(), *POINTS.items()],
)
def test_losses_penalties_and_optimizers(place: Path, overrides: str, message: str) -> None:
    said = train("model=gan", *overrides.split())
    assert said.message == message
    assert (said.code, said.out) == (2, "")
    assert list(place.iterdir()) == []


# Networks

MULTIPLES = "from 8 pixels in multiples of 4"
DOUBLED = "of 4 to 7 pixels doubled once or more (8, 10, 12, 14, 16, 20, …)"
EVEN = "of even sizes from 24 pixels"

IMPOSSIBLE_SIZES = {
    (network, size): f"the {name} networks make square images {rule}, got {size}×{size}; set "
    f"dataset.image_size to {nearest}"
    for network, name, rule, sizes in (
        ("dcgan", "DCGAN", MULTIPLES, {30: "28 or 32", 33: "32 or 36"}),
        ("infogan", "InfoGAN", MULTIPLES, {30: "28 or 32", 33: "32 or 36"}),
        ("lecture_dcgan", "lecture DCGAN", EVEN, {8: "24", 33: "32 or 34"}),
        ("sngan", "SNGAN", DOUBLED, {30: "28 or 32", 33: "32 or 40"}),
        ("r3gan", "R3GAN", DOUBLED, {30: "28 or 32", 33: "32 or 40"}),
    )
    for size, nearest in sizes.items()
}

NETWORKS = {
    "network=dcgan network.generator.kernel_size=1": (
        "model=gan: kernel_size must be at least 2, the stride, got 1; 4 is the usual one"
    ),
    "network=infogan network.critic.minibatch_std=1": (
        "model=gan: minibatch_std must be 0 for none, or a group of at least 2 images, got 1; 4 "
        "is the usual one"
    ),
    "network=dcgan network.critic.activation=null": (
        "network.critic.activation: must be a factory, {_target_: …, _partial_: true}, got null"
    ),
    "network=dense_gan network.critic.dropout=1": (
        "model=gan: dropout must be at least 0 and below 1, got 1; 0 is none"
    ),
    "network=dcgan network.critic.spectral_norm=0.5": (
        "network.critic.spectral_norm: should be a valid boolean, got 0.5"
    ),
    "network=r3gan network.generator.group_width=24": (
        "model=gan: group_width must divide width · expansion = 64, got 24; 16 does"
    ),
    **{
        f"network={network} network.critic.width=0": "model=gan: width must be at least 1, got 0"
        for network in ("infogan", "sngan", "r3gan")
    },
    "model=vae network=sngan": (
        "network=sngan does not fit model=vae: its parts must be decoder and encoder, got critic "
        "and generator"
    ),
}


@pytest.mark.parametrize(("network", "size"), IMPOSSIBLE_SIZES)
def test_sizes_that_a_network_cannot_make(place: Path, network: str, size: int) -> None:
    said = train("model=gan", f"network={network}", f"dataset.image_size={size}")
    assert said.message == f"model=gan: {IMPOSSIBLE_SIZES[network, size]}"
    assert (said.code, said.out) == (2, "")
    assert list(place.iterdir()) == []


@pytest.mark.parametrize(("overrides", "message"), NETWORKS.items())
def test_networks(place: Path, overrides: str, message: str) -> None:
    said = train("model=gan", *overrides.split())
    assert said.message == message
    assert (said.code, said.out) == (2, "")
    assert list(place.iterdir()) == []


# Conditional GANs

UNLABELLED = "dataset=stl10 dataset.source.unlabelled=true"
NO_CLASSES_THERE = (
    "num_classes must be at least 1, got None: the data have no labels; choose a labelled dataset, "
    "or model=gan"
)

CONDITIONS = {
    f"model=conditional_gan {UNLABELLED}": f"model=conditional_gan: {NO_CLASSES_THERE}",
    f"model=ac_gan {UNLABELLED}": f"model=ac_gan: {NO_CLASSES_THERE}",
    "model=conditional_gan generator_condition=batch_norm network=dense_gan": (
        "model=conditional_gan: generator_condition=batch_norm needs a generator with batch "
        "normalisation, and DenseDecoder has none; choose generator_condition=concatenation, or a "
        "network with it, such as network=dcgan"
    ),
    "model=projection_gan model.replay=64": (
        "model=projection_gan: replay must be 0 for a conditional model, got 64: old fakes are "
        "kept without their labels"
    ),
    "model=ac_gan model.class_weight=-1": (
        "model=ac_gan: class_weight must be at least 0, got -1; 0 leaves its term out of the "
        "objective"
    ),
    "model=projection_gan critic_condition.num_features=0": (
        "model=projection_gan: num_features must be at least 1, got 0"
    ),
    "model=ac_gan +critic_condition=projection": (
        "critic_condition=projection: model=ac_gan takes no critic_condition; leave "
        "critic_condition= out, or choose a model that does"
    ),
    "model=conditional_gan critic_condition=projektion": (
        "critic_condition=projektion: no such critic_condition; did you mean `projection`?"
    ),
}


@pytest.mark.parametrize(("overrides", "message"), [*CONDITIONS.items()])
def test_conditions(place: Path, overrides: str, message: str) -> None:
    said = train(*overrides.split())
    assert said.message == message
    assert (said.code, said.out) == (2, "")
    assert list(place.iterdir()) == []


# Sampling

NO_CLASS = "must be a class (0, 1, …), a list of classes, or null, got"


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Runs by what is special about them; for reading only."""
    made = {}
    for name, overrides in {
        "of classes": ["model=conditional_gan", "network=dense_gan"],
        "uniform": ["model=gan", "model.prior=uniform"],
        "mixture": ["model=vamp_vae", "model.num_pseudo_inputs=3"],
    }.items():
        folder = tmp_path_factory.mktemp("runs")
        said = train(f"paths.runs_dir={folder}", *overrides)
        assert said.code == 0, said.err
        made[name] = only_run(folder)
    return made


@pytest.mark.parametrize(
    ("run", "option", "message"),
    [
        ("of classes", "y=10", "y: labels must be whole numbers from 0 to 9, got 10"),
        ("of classes", "y=[3,12]", "y: labels must be whole numbers from 0 to 9, got 12"),
        ("of classes", "y=-1", f"y: {NO_CLASS} -1"),
        ("of classes", "y=[]", f"y: {NO_CLASS} []"),
        ("of classes", "y=1.5", f"y: {NO_CLASS} 1.5"),
        ("of classes", "y=true", f"y: {NO_CLASS} True"),
        ("of classes", "y=three", f"y: {NO_CLASS} 'three'"),
        ("uniform", "y=0", "GAN is not conditional: leave out y"),
        ("of classes", "truncation=0", "truncation: should be greater than 0, got 0"),
        ("of classes", "truncation=inf", "truncation: should be a finite number, got inf"),
        (
            "uniform",
            "truncation=0.5",
            "truncation=0.5: cuts the prior N(0, I), and this GAN has another one; leave "
            "truncation out",
        ),
        (
            "mixture",
            "truncation=0.5",
            "truncation=0.5: cuts the prior N(0, I), and this VampVAE has another one; leave "
            "truncation out",
        ),
    ],
)
def test_samples_that_cannot_be_drawn(
    runs: dict[str, Path], place: Path, run: str, option: str, message: str
) -> None:
    before = sorted(runs[run].rglob("*"))
    said = ganvas("sample", str(runs[run]), "accelerator=cpu", option)
    assert (said.code, said.message, said.out) == (2, message, "")
    assert sorted(runs[run].rglob("*")) == before
    assert list(place.iterdir()) == []


NULL = "; null switches its rule off"

WATCHED = {
    "callbacks.collapse.action=halt": (
        "callbacks.collapse.action: should be 'warn' or 'stop', got 'halt'"
    ),
    "callbacks.collapse.critic_loss=-1": (
        f"callbacks.collapse.critic_loss must be over 0, got -1{NULL}"
    ),
    "callbacks.collapse.diversity=0": f"callbacks.collapse.diversity must be over 0, got 0{NULL}",
    "callbacks.collapse.gradient_factor=1": (
        f"callbacks.collapse.gradient_factor must be over 1, got 1{NULL}"
    ),
    "callbacks.collapse.metric_factor=0.5": (
        "callbacks.collapse.metric_factor must be over 1, got 0.5"
    ),
    "callbacks.collapse.metric=val/diversty": (
        "callbacks.collapse.metric=val/diversty: no such metric; did you mean `val/diversity`?"
    ),
    "callbacks.collapse.metric=val/critic_loss": (
        "callbacks.collapse.metric_mode: say min or max for val/critic_loss; neither is known"
    ),
    "callbacks.collapse.metric=val/diversity callbacks.diversity=null": (
        "callbacks.collapse.metric=val/diversity: no such metric; there are: val/critic_loss, "
        "val/fake_accuracy, val/fake_logit, val/generator_loss, val/real_accuracy, val/real_logit"
    ),
    "callbacks.collapse.metric=val/diversity dataset.val_size=0": (
        "a monitor needs validation images; set dataset.val_size above 0"
    ),
    "callbacks.diversity.num=1": "callbacks.diversity.num must be at least 2, got 1",
    "callbacks.diversity.features=null": (
        "callbacks.diversity.features must name a network by _target_, got None"
    ),
    "callbacks.diversity.features.widths=[]": (
        "callbacks.diversity: widths must be at least one number of 1 or more, got []"
    ),
    "model=vae callbacks.collapse.metric=val/elbo": (
        "callbacks.collapse.metric=val/elbo: model=vae is not adversarial and not watched for "
        "collapse; set trainer.early_stopping instead"
    ),
}


@pytest.mark.parametrize(("overrides", "message"), WATCHED.items())
def test_what_is_watched(place: Path, overrides: str, message: str) -> None:
    said = train("model=gan", *overrides.split())
    assert said.message == message
    assert (said.code, said.out) == (2, "")
    assert not list(place.rglob("run.json"))
