"""Numbers that are not finite: the run ends, names step, term and the last good checkpoint."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from engine_helpers import Said, ganvas, only_run, train

FAULTY = """
import torch
from torch import nn


class Gradient(torch.autograd.Function):
    @staticmethod
    def forward(context, x):
        return x.clone()

    @staticmethod
    def backward(context, gradient):
        return gradient * float("inf")


class Faulty(nn.Module):
    '''A ReLU whose output (nan) or gradient (inf) is wrong in one of its calls.'''

    def __init__(self, *, at: int, gradient: bool, negative_slope: float = 0.0) -> None:
        super().__init__()
        self.at, self.gradient, self.calls = at, gradient, 0

    def forward(self, x):
        if self.training and x.requires_grad and x.device.type != "meta":
            self.calls += 1
            if self.calls == self.at:
                return Gradient.apply(x.relu()) if self.gradient else x.relu() * float("nan")
        return x.relu()
"""

STEPS = (
    "trainer.max_steps=12",
    "trainer.log_every_n_steps=4",
    "trainer.checkpoint.every_n_steps=3",
)
SMALL = ("dataset.max_train=120", "dataset.val_size=20", "dataset.batch_size=10")
VAE = ("model=vae", "network.decoder.hidden=[8]", "network.encoder.hidden=[8]")
GAN = ("model=gan", "network.generator.hidden=[8]", "network.critic.hidden=[8]")
HYBRID = ("model=factor_vae", "network.critic.hidden=[8]", *VAE[1:])
LISTED = "its images are listed in log.txt)"
LAST_3 = "; the last good checkpoint is checkpoints/last.ckpt of step 3. Lower the learning rate, "


@pytest.fixture(autouse=True)
def _own_module(place: Path, fresh_modules: None) -> None:
    (place / "users_faulty.py").write_text(FAULTY)


def faulty(network: str, *, at: int, gradient: bool) -> tuple[str, ...]:
    """A hidden layer of this network goes wrong in call `at`."""
    key = f"network.{network}.activation"
    if network == "decoder":  # its ReLU is not stated in the config
        node = f"{{_target_:users_faulty.Faulty,_partial_:true,at:{at},gradient:{gradient}}}"
        return "trust=[users_faulty]", f"+{key}={node}"
    arguments = f"+{key}.at={at}", f"+{key}.gradient={gradient}"
    return "trust=[users_faulty]", f"{key}._target_=users_faulty.Faulty", *arguments


def record_of(run: Path) -> dict[str, Any]:
    return json.loads((run / "run.json").read_text())


def require_failed(said: Said, place: Path, reason: str, *, step: int | None) -> None:
    """Exit code 1, the reason in the record, and in `last.ckpt` finite weights of `step`."""
    run = only_run(place)
    record = record_of(run)
    assert said.code == 1
    assert record["status"] == "failed"
    assert record["reason"].startswith(reason), record["reason"]
    assert said.message.splitlines()[0] == record["reason"]
    file = run / "checkpoints" / "last.ckpt"
    if step is None:
        assert not file.exists()
        return
    state = torch.load(file, weights_only=True)
    assert state["ganvas_counters"]["step"] == step
    assert all(t.isfinite().all() for t in state["state_dict"].values())


# The first layer of a decoder or generator sees codes that need no gradient in a GAN, so the calls
# counted are: one a step in a VAE; of a critic three a step, of real and of fake images in its own
# step (whose input needs a gradient after the first weights) and one in the generator's.


@pytest.mark.parametrize(
    ("model", "fault", "reason"),
    [
        (VAE, faulty("decoder", at=5, gradient=False), "loss became nan at step 5"),
        (GAN, faulty("critic", at=13, gradient=False), "critic_loss became nan at step 5"),
        (GAN, faulty("critic", at=15, gradient=False), "generator_loss became nan at step 5"),
        (HYBRID, faulty("decoder", at=5, gradient=False), "generator_loss became nan at step 5"),
    ],
)
def test_a_loss(place: Path, model: Any, fault: Any, reason: str) -> None:
    said = train(*model, *SMALL, *STEPS, *fault)
    listed = f" (batch 4 of epoch 0; {LISTED}"
    require_failed(said, place, reason + listed + LAST_3, step=3)


@pytest.mark.parametrize(
    ("model", "fault", "reason"),
    [
        (VAE, faulty("decoder", at=5, gradient=True), "loss became nan at step 6"),
        (GAN, faulty("critic", at=13, gradient=True), "critic_gradient_norm became "),
        (GAN, faulty("generator", at=5, gradient=True), "generator_gradient_norm became "),
        (HYBRID, faulty("decoder", at=5, gradient=True), "generator_gradient_norm became "),
    ],
)
def test_a_gradient_while_the_loss_is_finite(
    place: Path, model: Any, fault: Any, reason: str
) -> None:
    said = train(*model, *SMALL, *STEPS, *fault)
    require_failed(said, place, reason, step=3)
    found = record_of(only_run(place))["reason"]
    assert LAST_3 in found
    step = 6 if model is VAE else 5
    assert f"at step {step} (batch {step - 1} of epoch 0; {LISTED};" in found


def test_before_the_first_checkpoint(place: Path) -> None:
    said = train(*VAE, *SMALL, *STEPS, *faulty("decoder", at=2, gradient=False))
    reason = f"loss became nan at step 2 (batch 1 of epoch 0; {LISTED}; no checkpoint was written "
    require_failed(said, place, reason, step=None)


def test_weights_that_a_bad_gradient_spoiled_are_not_saved(place: Path) -> None:
    """In step 6 every loss is finite, and a checkpoint is due right after it."""
    said = train(*VAE, *SMALL, *STEPS, *faulty("decoder", at=6, gradient=True))
    listed = f"(batch 5 of epoch 0; {LISTED}"
    reason = f"encoder.layers.0.weight was no longer finite at step 6 {listed}, after a gradient "
    reason += "that was not"
    require_failed(said, place, reason + LAST_3, step=3)


def test_a_resumed_run_names_the_checkpoint_that_it_went_on_from(place: Path) -> None:
    said = train(*VAE, *SMALL, "trainer.max_steps=3", *faulty("decoder", at=4, gradient=False))
    assert said.code == 0, said.err
    run = only_run(place)
    again = ganvas("train", f"resume={run}", "trainer.max_steps=9", "trust=[users_faulty]")
    # The count of calls began anew.
    reason = f"loss became nan at step 7 (batch 6 of epoch 0; {LISTED}"
    require_failed(again, place, reason + LAST_3, step=3)
