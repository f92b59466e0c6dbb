"""GANs asked for what they can't do: one clear message, exit code 2, nothing on disk."""

from __future__ import annotations

from pathlib import Path

import pytest
from engine_helpers import train

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
        "single one"
    ),
    "optimizer@optimizer.critic=sdg": "optimizer=sdg: no such optimizer; did you mean `sgd`?",
    "optimizer@optimizer.critic=adam_ttur": (
        "optimizer=adam_gan does not fit model=gan: a single one is needed, got generator, critic"
    ),
    "optimizer.critic.lr=-1": "optimizer.critic: Invalid learning rate: -1",
}


@pytest.mark.parametrize(
    ("overrides", "message"),
    [*LOSSES.items(), *PENALTIES.items(), *OPTIMIZERS.items()],
)
def test_losses_penalties_and_optimizers(place: Path, overrides: str, message: str) -> None:
    said = train("model=gan", *overrides.split())
    assert said.message == message
    assert (said.code, said.out) == (2, "")
    assert list(place.iterdir()) == []
