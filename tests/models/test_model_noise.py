"""A model's noise belongs to (seed, step) and to the global batch, not to a process."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from ganvas.models.base import GenerativeModule
from ganvas.schedules import LinearSchedule
from ganvas.types import Batch
from models.tiny import batches, equal, fit, gan, images, vae, weights


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("world", [2, 3])
def test_the_ranks_slices_are_the_global_batchs_noise(world: int, training: bool) -> None:
    model = vae().train(training)
    x = images(6)
    whole = model.noise(Batch(x, start=18), 5)
    size = 6 // world
    ranks = [
        Batch(x[r * size : (r + 1) * size], start=18, offset=r * size, total=6)
        for r in range(world)
    ]
    assert torch.equal(torch.cat([model.noise(batch, 5) for batch in ranks]), whole)


def test_two_ranks_losses_average_to_one_ranks() -> None:
    model, x = vae().train(), images(6)
    whole = model.loss_terms(Batch(x)).total
    halves = [
        model.loss_terms(Batch(x[part], offset=part.start, total=6)).total
        for part in (slice(0, 3), slice(3, 6))
    ]
    torch.testing.assert_close((halves[0] + halves[1]) / 2, whole)


@pytest.mark.parametrize("use", [0, 1])
def test_training_noise_changes_with_seed_and_step_and_not_with_position(use: int) -> None:
    model, batch = vae().train(), Batch(images(4), start=0)
    first = model.noise(batch, 2, use=use)
    assert torch.equal(model.noise(Batch(images(4), start=8), 2, use=use), first)
    model.counters["step"] = 1
    second = model.noise(batch, 2, use=use)
    model.counters["step"] = 0
    model.seed = 1
    third = model.noise(batch, 2, use=use)
    model.seed = 0
    assert torch.equal(model.noise(batch, 2, use=use), first)
    assert not torch.equal(model.noise(batch, 2, use=use + 1), first)
    assert not torch.equal(first, second)
    assert not torch.equal(first, third)


def test_codes_of_the_prior_have_noise_of_their_own() -> None:
    model = vae().train()
    outputs = model.outputs(Batch(images(500)))
    posterior = outputs.posterior
    noise = (outputs.z - posterior.mu) / (0.5 * posterior.log_var).exp()
    both = torch.corrcoef(torch.stack([noise.flatten(), outputs.draw_prior().flatten()]))
    assert both[0, 1].abs() < 0.1


def test_the_objective_is_the_one_of_the_models_step() -> None:
    model = vae(beta=LinearSchedule(start=0.0, end=1.0, steps=10))
    for step in (0, 4, 10):
        model.counters["step"] = step
        parts = model.loss_terms(Batch(images(4))).parts
        assert parts["beta"].item() == pytest.approx(step / 10)


def test_evaluation_noise_changes_with_position_and_not_with_the_step() -> None:
    model, batch = vae().eval(), Batch(images(4), start=0)
    first = model.noise(batch, 2)
    model.counters["step"] = 5
    assert torch.equal(model.noise(batch, 2), first)
    assert not torch.equal(model.noise(Batch(images(4), start=4), 2), first)
    assert not torch.equal(model.train().noise(batch, 2), first)


def test_samples_depend_on_their_seed_alone() -> None:
    for model in (vae(), gan()):
        first = model.sample(5, seed=3)
        torch.manual_seed(99)
        model.counters["step"] = 4
        assert torch.equal(model.sample(5, seed=3), first)
        assert not torch.equal(model.sample(5, seed=4), first)
        noise = model.prior_noise(5, 3, seed=3)
        assert torch.equal(model.sample(5, noise=noise), first)


@pytest.mark.parametrize("make", [vae, gan])
def test_training_does_not_depend_on_the_global_generator(make: object) -> None:
    ends = []
    for seed in (1, 2):
        model = make()
        torch.manual_seed(seed)
        fit(model, batches(num=3, size=2))
        ends.append(weights(model))
    assert equal(*ends)


def test_a_models_seed_changes_its_training() -> None:
    ends = []
    for seed in (1, 2):
        model = vae()
        model.seed = seed
        fit(model, batches(num=3, size=2))
        ends.append(weights(model))
    assert not equal(*ends)


def mean_parts(model: GenerativeModule, parts: list[Batch]) -> dict[str, float]:
    """What validation logs of a split cut into these batches."""
    logged: dict[str, float] = {}
    model._trainer = SimpleNamespace(world_size=1)
    model.log_dict = lambda values, **_: logged.update({k: float(v) for k, v in values.items()})
    for index, batch in enumerate(parts):
        model.validation_step(batch, index)
    model.on_validation_epoch_end()
    return logged


def test_means_over_a_split_weigh_images_and_not_batches() -> None:
    """One batch of 5 and one of 1 against the six images one by one; noise off by Z = 0 rate."""
    model = gan().eval()
    model.noise = lambda batch, *size: torch.zeros(len(batch), *size)
    x = images(6)
    uneven = mean_parts(model, [Batch(x[:5]), Batch(x[5:], start=5)])
    single = mean_parts(model, [Batch(x[i : i + 1], start=i) for i in range(6)])
    assert uneven == pytest.approx(single, rel=1e-6)
    wrong = (
        mean_parts(model, [Batch(x[:5])])["val/real_logit"]
        + mean_parts(model, [Batch(x[5:])])["val/real_logit"]
    ) / 2
    assert uneven["val/real_logit"] != pytest.approx(wrong, rel=1e-4)


def test_an_empty_share_of_the_last_batch_counts_for_nothing() -> None:
    model = gan().eval()
    full = Batch(images(3))
    assert mean_parts(model, [full, Batch(images(0), start=3)]) == mean_parts(model, [full])


def test_counters_travel_with_the_checkpoint_and_reset() -> None:
    model, other = gan(), gan()
    fit(model, batches(num=3, size=2))
    checkpoint: dict[str, object] = {}
    model.on_save_checkpoint(checkpoint)
    other.on_load_checkpoint(checkpoint)
    assert other.counters == model.counters
    assert other.step == 3
    other.reset_counters()
    assert set(other.counters.values()) == {0}
    assert model.step == 3
