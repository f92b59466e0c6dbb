"""What is done with a run: sample, evaluate, resume, begin from its weights, open in Python."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from engine_helpers import TINY, ganvas, only_run, train
from PIL import Image

import ganvas as library
from ganvas.errors import ConfigError, RunError


def state_of(run: Path, name: str = "last") -> dict[str, Any]:
    return torch.load(run / "checkpoints" / f"{name}.ckpt", weights_only=True)


def record_of(run: Path) -> dict[str, Any]:
    return json.loads((run / "run.json").read_text())


# Sampling


def expected(run: Path, num: int, seed: int) -> np.ndarray:
    images = library.load_run(run).model.sample(num, seed=seed)
    return (images * 255).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()


def test_npz_holds_what_the_model_samples(vae_run: Path, tmp_path: Path) -> None:
    out = tmp_path / "a.npz"
    said = ganvas(
        "sample", str(vae_run), "accelerator=cpu", "format=npz", "n=5", "seed=3", f"out={out}"
    )
    assert (said.code, said.out) == (0, f"{out}\n")
    images = np.load(out)["images"]
    assert (images.dtype, images.shape) == (np.dtype("uint8"), (5, 8, 8, 1))
    np.testing.assert_array_equal(images, expected(vae_run, 5, 3))
    assert images.std() > 0


def test_samples_depend_on_n_and_seed_alone(
    vae_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ganvas.engine import sample

    def drawn(seed: int, name: str) -> np.ndarray:
        out = tmp_path / f"{name}.npz"
        said = ganvas(
            "sample",
            str(vae_run),
            "accelerator=cpu",
            "format=npz",
            "n=7",
            f"seed={seed}",
            f"out={out}",
        )
        assert said.code == 0, said.err
        return np.load(out)["images"]

    first = drawn(0, "a")
    monkeypatch.setattr(sample, "BATCH", 3)
    np.testing.assert_array_equal(drawn(0, "b"), first)
    assert (drawn(1, "c") != first).any()


def test_png_is_one_file_for_each_image(gan_run: Path, tmp_path: Path) -> None:
    out = tmp_path / "pictures"
    assert (
        ganvas("sample", str(gan_run), "accelerator=cpu", "format=png", "n=3", f"out={out}").code
        == 0
    )
    files = sorted(out.iterdir())
    assert [f.name for f in files] == ["000000.png", "000001.png", "000002.png"]
    stacked = np.stack([np.asarray(Image.open(f)) for f in files])[..., None]
    np.testing.assert_array_equal(stacked, expected(gan_run, 3, 0))


def test_grid_shows_every_image(vae_run: Path, tmp_path: Path) -> None:
    """Four images of 8 pixels, each pixel enlarged 32 times, with borders of 2."""
    out = tmp_path / "grid.png"
    assert ganvas("sample", str(vae_run), "accelerator=cpu", "n=4", f"out={out}").code == 0
    picture = np.asarray(Image.open(out))
    assert picture.shape == (518, 518, 3)
    starts = [(2 + 258 * row, 2 + 258 * column) for row in (0, 1) for column in (0, 1)]
    tiles = np.stack([picture[y : y + 256 : 32, x : x + 256 : 32] for y, x in starts])
    np.testing.assert_array_equal(tiles, expected(vae_run, 4, 0).repeat(3, axis=3))


@pytest.mark.parametrize("name", ["a run", "lr=0.1,β=4", "größe", "[1]", "it's", "a  b\t$HOME"])
def test_a_folder_of_any_name(vae_run: Path, tmp_path: Path, name: str) -> None:
    run = Path(shutil.copytree(vae_run, tmp_path / name / "run"))
    said = ganvas("sample", str(run), "accelerator=cpu", "n=2", "format=npz")
    out = run / "samples" / "drawn-best-n2-seed0.npz"
    assert (said.code, said.out) == (0, f"{out}\n"), said.err
    assert np.load(out)["images"].shape == (2, 8, 8, 1)
    assert ganvas("evaluate", str(run), "accelerator=cpu").code == 0


def test_samples_that_cannot_be_written(vae_run: Path) -> None:
    said = ganvas("sample", str(vae_run), "accelerator=cpu", "n=2", "out=/dev/null/a/b.png")
    assert said.message == (
        "out=/dev/null/a/b.png: can't be written (Not a directory); choose another"
    )
    assert said.code == 2


def test_a_plain_autoencoder_draws_no_samples(ae_run: Path) -> None:
    before = sorted(ae_run.rglob("*"))
    said = ganvas("sample", str(ae_run), "accelerator=cpu")
    assert said.message == (
        "Autoencoder can't sample: its codes have no prior; take prior=gmm, fitted to them, or "
        "choose vae, wae or gan"
    )
    assert said.code == 2
    assert sorted(ae_run.rglob("*")) == before


# Evaluating


LOSSES = ("metrics=losses", "accelerator=cpu")


def test_evaluation_gives_the_value_of_training(vae_copy: Path) -> None:
    """But for the noise of one code per image, which is drawn by other blocks of images."""
    trained = {
        name.removeprefix("test/"): entry["final"]["value"]
        for name, entry in record_of(vae_copy)["metrics"].items()
        if name.startswith("test/")
    }
    assert ganvas("evaluate", str(vae_copy), "checkpoint=last", *LOSSES).code == 0
    found = {e["name"]: e["value"] for e in record_of(vae_copy)["evaluations"]}
    assert found == pytest.approx(trained, rel=0.01)
    assert found["reconstruction_mse"] == pytest.approx(trained["reconstruction_mse"], rel=1e-6)
    assert found["rate"] == pytest.approx(trained["rate"], rel=1e-6)
    assert found["elbo"] == pytest.approx(-found["distortion"] - found["rate"])


def test_evaluations_are_appended(vae_copy: Path) -> None:
    said = ganvas("evaluate", str(vae_copy), *LOSSES)
    assert said.code == 0
    first = record_of(vae_copy)
    assert ganvas("evaluate", str(vae_copy), *LOSSES, "split=val", "seed=5").code == 0
    second = record_of(vae_copy)
    num = len(first["evaluations"])
    assert num == len(said.out.splitlines()) > 0
    assert second["evaluations"][:num] == first["evaluations"]
    assert len(second["evaluations"]) == 2 * num
    assert {k: v for k, v in first.items() if k != "evaluations"} == {
        k: v for k, v in second.items() if k != "evaluations"
    }
    last = second["evaluations"][-1]
    assert sorted(last) == [
        "checkpoint",
        "higher_is_better",
        "name",
        "protocol",
        "provenance",
        "split",
        "uncertainty",
        "value",
    ]
    assert (last["split"], last["checkpoint"]) == ("val", "best.ckpt")
    images = last["protocol"].pop("images")
    assert len(images) == 64
    assert last["protocol"] == {
        "dataset": "digits",
        "split": "val",
        "num_images": 150,
        "batch_norm": "eval",
        "seed": 5,
        "block": 256,
        "ema": True,
    }
    assert (last["provenance"]["run_seed"], last["provenance"]["step"]) == (0, 2)
    assert set(second["packages"]) == set(last["provenance"]["packages"])


def test_evaluation_does_not_depend_on_batches(vae_copy: Path) -> None:
    for size in (7, 256):
        assert ganvas("evaluate", str(vae_copy), *LOSSES, f"batch_size={size}").code == 0
    values = [e["value"] for e in record_of(vae_copy)["evaluations"] if e["name"] == "loss"]
    assert values[0] == pytest.approx(values[1], rel=1e-6)


def test_a_run_in_use_is_left_alone(vae_copy: Path) -> None:
    from ganvas.tracking.record import RunRecord

    record = RunRecord.open(vae_copy, resume=False)
    try:
        said = ganvas("evaluate", str(vae_copy), "accelerator=cpu")
        assert said.message.startswith(f"{vae_copy} is in use by process ")
        assert said.code == 2
    finally:
        record.close()
    assert record_of(vae_copy)["evaluations"] == []


# Resuming


def test_a_finished_run_is_not_resumed(vae_copy: Path) -> None:
    before = (vae_copy / "run.json").read_bytes()
    said = ganvas("train", f"resume={vae_copy}")
    assert said.message == (
        f"{vae_copy} is finished; raise its budget to go on (trainer.max_epochs=…), or begin "
        "a new run with init_from="
    )
    assert said.code == 2
    assert (vae_copy / "run.json").read_bytes() == before


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("loss.beta=4", "loss.beta: trained with 1.0, to be resumed with 4\n"),
        (
            "trainer.max_stps=9",
            "`trainer.max_stps`: no such key in the run's config; did you mean `max_steps`?",
        ),
        ("seed=1", "seed: trained with 0, to be resumed with 1\n"),
        ("model=ae", "model=ae: a resumed run changes values, not groups; "),
        ("trainer.max_steps=0", "trainer.max_steps: should be greater than or equal to 1, got 0"),
        ("trainer.max_steps=x", "trainer.max_steps: should be a valid integer, got 'x'"),
    ],
)
def test_a_resumed_run_keeps_its_config(vae_copy: Path, override: str, message: str) -> None:
    before = (vae_copy / "run.json").read_bytes()
    said = ganvas("train", f"resume={vae_copy}", override)
    assert said.message.startswith(message)
    assert said.code == 2
    assert (vae_copy / "run.json").read_bytes() == before


def test_a_resumed_run_ends_like_one_that_was_never_stopped(vae_copy: Path, place: Path) -> None:
    said = ganvas("train", f"resume={vae_copy}", "trainer.max_steps=4")
    assert said.code == 0, said.err
    whole = train("model=vae", "trainer.max_steps=4", "test=true")
    assert whole.code == 0
    resumed, straight = state_of(vae_copy), state_of(only_run(place))
    assert resumed["ganvas_counters"] == straight["ganvas_counters"]
    for name, weights in straight["state_dict"].items():
        torch.testing.assert_close(resumed["state_dict"][name], weights, rtol=0, atol=0)
    assert record_of(vae_copy)["status"] == "finished"


def test_a_resumed_run_that_fails_says_why(vae_copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from ganvas.engine import train as module

    def failing(_: object, *, checkpoint: object) -> None:
        raise OSError("the disk is full")

    monkeypatch.setattr(module.Session, "fit", failing)
    said = ganvas("train", f"resume={vae_copy}", "trainer.max_steps=4")
    assert said.message.splitlines() == [
        "OSError: the disk is full",
        f"the traceback is in {vae_copy / 'log.txt'}",
    ]
    assert said.code == 1


# Beginning with another run's weights


def test_init_from_takes_weights_and_counts_anew(vae_run: Path, place: Path) -> None:
    """With a learning rate of 0 the weights stay those that the run began with."""
    said = train("model=vae", f"init_from={vae_run}", "optimizer.lr=0", "seed=9")
    assert said.code == 0, said.err
    run = only_run(place)
    begun, theirs = state_of(run), state_of(vae_run, "best")
    for name, weights in theirs["state_dict"].items():
        torch.testing.assert_close(begun["state_dict"][name], weights, rtol=0, atol=0)
    assert begun["ganvas_counters"] == {"step": 2, "images_seen": 100}
    assert record_of(run)["parent"] == str(vae_run)
    assert library.load_run(run).metrics().index.max() == 2


def test_a_run_that_began_so_is_resumed_without_its_parent(vae_copy: Path, place: Path) -> None:
    assert train("model=vae", f"init_from={vae_copy}").code == 0
    run = only_run(place)
    shutil.rmtree(vae_copy)
    said = ganvas("train", f"resume={run}", "trainer.max_steps=3")
    assert said.code == 0, said.err
    assert state_of(run)["ganvas_counters"]["step"] == 3


def test_init_from_another_model(ae_run: Path, place: Path) -> None:
    said = train("model=vae", f"init_from={ae_run}")
    assert said.message == (
        f"init_from='{ae_run}': {ae_run}/checkpoints/best.ckpt is of another model: "
        "0 weights missing, 0 unknown, 2 of another shape (first: encoder.layers.2.bias); "
        "use the config it was trained with"
    )
    assert said.code == 2
    assert list(place.iterdir()) == []


def test_init_from_a_damaged_checkpoint(vae_copy: Path, place: Path) -> None:
    (vae_copy / "checkpoints" / "best.ckpt").unlink()
    (vae_copy / "checkpoints" / "best.ckpt").write_bytes(b"PK\x03\x04")
    said = train("model=vae", f"init_from={vae_copy}")
    assert said.message.endswith(
        "best.ckpt is damaged or truncated; use another one of the run's checkpoints"
    )
    assert said.code == 2
    assert list(place.iterdir()) == []


# Monitors other than the model's own

FALLING = ("trainer.max_steps=30", "trainer.val_check_interval=10")


def test_the_best_checkpoint_of_a_loss_is_the_lowest(place: Path) -> None:
    said = train("model=vae", "trainer.checkpoint.monitor=val/loss", *FALLING)
    assert said.code == 0, said.err
    run = only_run(place)
    losses = library.load_run(run).metrics()["val/loss"].dropna()
    assert list(losses.index) == [10, 20, 30]
    assert state_of(run, "best")["ganvas_counters"]["step"] == losses.idxmin() == 30


def test_a_falling_loss_does_not_stop_early(place: Path) -> None:
    said = train("model=vae", "trainer.early_stopping={patience:1,monitor:val/loss}", *FALLING)
    assert said.code == 0, said.err
    assert state_of(only_run(place))["ganvas_counters"]["step"] == 30


def test_a_mode_that_is_given_counts(place: Path) -> None:
    said = train(
        "model=vae", "trainer.checkpoint.monitor=val/loss", "trainer.checkpoint.mode=min", *FALLING
    )
    assert said.code == 0, said.err
    assert state_of(only_run(place), "best")["ganvas_counters"]["step"] == 30


# From Python


def test_train_returns_the_run(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = library.train([*TINY, "model=vae", "loss.beta=4"])
    capsys.readouterr()
    assert run.path == only_run(place / "runs")
    assert run.record["status"] == "finished"
    assert run.config["loss"]["beta"] == 4
    assert repr(run) == f"Run('{run.path}', status='finished')"


def test_train_refuses_as_the_command_does(place: Path) -> None:
    with pytest.raises(ConfigError, match="no such key; did you mean `beta`"):
        library.train(["loss.betta=4"])
    assert list(place.iterdir()) == []


def test_a_loaded_run(vae_run: Path) -> None:
    run = library.load_run(vae_run)
    frame = run.metrics()
    assert frame.index.name == "step"
    assert {"images_seen", "seconds", "val/elbo", "test/elbo"} <= set(frame.columns)
    (final,) = frame["test/elbo"].dropna()
    assert final == run.record["metrics"]["test/elbo"]["final"]["value"]

    data, model = run.data(), run.model
    batch = next(iter(data.loader("test", value_range=(0.0, 1.0), seed=0)))
    z = model.encode(batch.x)
    assert z.shape == (len(batch), 20)
    torch.testing.assert_close(model.decode(z), model.reconstruct(batch.x))
    images = model.sample(6, seed=1)
    assert images.shape == (6, 1, 8, 8)
    assert 0 <= images.min() <= images.max() <= 1
    assert not images.requires_grad
    noise = torch.zeros(2, 20)
    torch.testing.assert_close(model.sample(2, noise=noise), model.decode(noise))
    assert run.model is model
    assert not model.module.training


def test_what_a_model_cannot_do(gan_run: Path, ae_run: Path) -> None:
    gan = library.load_run(gan_run).model
    images = gan.sample(2)
    assert 0 <= images.min() < 0.5 < images.max() <= 1
    with pytest.raises(RunError, match="GAN can't encode: choose a model with an encoder"):
        gan.encode(images)
    with pytest.raises(RunError, match="GAN can't reconstruct: choose an autoencoder or a VAE"):
        gan.reconstruct(images)
    with pytest.raises(RunError, match="Autoencoder can't sample"):
        library.load_run(ae_run).model.sample(1)


def test_a_run_records_its_config_and_choices(gan_run: Path) -> None:
    config = yaml.safe_load((gan_run / "config.yaml").read_text())
    assert record_of(gan_run)["choices"]["loss"] == "non_saturating"
    assert not {"resume", "check", "full_error", "trust", "hydra"} & set(config)


def test_early_stopping_says_so_in_the_record(place: Path) -> None:
    stop = "trainer.early_stopping={patience:1,min_delta:1000.0}"
    said = train(
        "model=vae", "trainer.max_epochs=6", "trainer.max_steps=null", "dataset.max_train=200", stop
    )
    assert said.code == 0, said.err
    record = json.loads((only_run(place) / "run.json").read_text())
    assert record["status"] == "finished"
    assert record["reason"].startswith("early stopping on val/elbo at step ")
