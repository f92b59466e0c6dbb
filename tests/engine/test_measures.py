"""The metrics group in a run: best and final of a GAN, monitors, the record, refusals."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from engine_helpers import TINY, ganvas, only_run, train

import ganvas as library
from ganvas.data.tensor_file import read_tensors
from ganvas.engine.build import build_data
from ganvas.engine.check import check_overrides
from ganvas.engine.classifier import WEIGHTS_DIR
from ganvas.engine.measures import directions
from ganvas.evaluation.samples import SampleMeasure
from ganvas.nn.classifier import ConvClassifier
from ganvas.nn.extractor import weights_hash

GAN = ("model=gan", "metrics=samples", "evaluation.num=40", "dataset.batch_size=50")
HIGHER = {k.format(features="classifier"): v for k, v in SampleMeasure.directions.items()}
NAMES = set(HIGHER)


def six_steps(folder: Path, *overrides: str) -> library.Run:
    """Three validations of a GAN that learns by leaps."""
    return library.train(
        [
            *TINY,
            *GAN,
            "test=true",
            "trainer.max_epochs=null",
            "trainer.max_steps=6",
            "trainer.val_check_interval=2",
            "optimizer.generator.lr=0.03",
            f"paths.runs_dir={folder}",
            *overrides,
        ]
    )


@pytest.fixture(scope="module")
def gan_run(tmp_path_factory: pytest.TempPathFactory) -> library.Run:
    return six_steps(tmp_path_factory.mktemp("gan"))


def values(run: library.Run, name: str) -> pd.Series:
    return run.metrics()[name].dropna()


def test_best_and_final_are_both_kept(gan_run: library.Run) -> None:
    record, distances = gan_run.record["metrics"], values(gan_run, "val/fd_classifier")
    assert list(distances.index) == [2, 4, 6]
    kept = record["val/fd_classifier"]
    assert kept["higher_is_better"] is False
    assert kept["final"] == {"value": distances[6], "step": 6}
    assert kept["best"] == {"value": distances.min(), "step": distances.idxmin()}
    for name in NAMES:
        entry = record[f"test/{name}"]
        assert entry["final"]["step"] == 6
        assert entry["best"]["step"] == kept["best"]["step"]
        assert entry["higher_is_better"] is HIGHER[name]


def test_the_best_checkpoint_is_that_of_the_smallest_distance(gan_run: library.Run) -> None:
    saved = torch.load(gan_run.path / "checkpoints" / "best.ckpt", weights_only=True)
    assert saved["ganvas_counters"]["step"] == values(gan_run, "val/fd_classifier").idxmin()


def test_the_record_tells_the_protocol(gan_run: library.Run) -> None:
    protocols = gan_run.record["protocol"]
    assert set(protocols) == {f"{split}/{name}" for split in ("val", "test") for name in NAMES}
    protocol = protocols["test/fd_classifier"]
    network = ConvClassifier(image_shape=(1, 8, 8), num_classes=10)
    network.load_state_dict(read_tensors(WEIGHTS_DIR / "digits.safetensors"))  # type: ignore[arg-type]
    assert protocol["weights"] == weights_hash(network)
    assert protocol["num"] == 40
    assert protocol["seed"] == 0
    assert protocol["ema"] is True


def test_a_resumed_run_has_the_same_values(gan_run: library.Run, tmp_path: Path) -> None:
    cut = six_steps(tmp_path, "trainer.max_steps=4")
    assert ganvas("train", f"resume={cut.path}", "trainer.max_steps=6").code == 0
    for name in NAMES:
        assert np.array_equal(values(cut, f"val/{name}"), values(gan_run, f"val/{name}"))
        assert values(cut, f"test/{name}")[6] == values(gan_run, f"test/{name}")[6]
    assert (
        cut.record["metrics"]["test/fd_classifier"]
        == (gan_run.record["metrics"]["test/fd_classifier"])
    )


def test_a_model_with_a_monitor_keeps_it(place: Path) -> None:
    assert train("model=vae", "metrics=samples", "evaluation.num=20", "test=true").code == 0
    run = library.load_run(only_run(place))
    assert {f"{split}/{name}" for split in ("val", "test") for name in NAMES} <= set(
        run.metrics().columns
    )
    checked = check_overrides([*TINY, "model=vae", "metrics=samples"])
    known = directions(checked, build_data(checked))
    assert known["elbo"] is True
    assert known["fd_classifier"] is False
    state = torch.load(run.path / "checkpoints" / "best.ckpt", weights_only=True)["callbacks"]
    best = run.record["metrics"]["val/elbo"]["best"]["value"]
    assert state["Checkpoints"]["best"] == pytest.approx(-best)


def test_without_metrics_a_gan_has_no_best(place: Path) -> None:
    assert train("model=gan").code == 0
    folder = only_run(place)
    assert not (folder / "checkpoints" / "best.ckpt").exists()
    assert "protocol" not in library.load_run(folder).record


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ("model=ae", "metrics=samples: model=ae draws no samples; leave samples out"),
        (
            "model=gan evaluation.num=1",
            "evaluation.num: should be greater than or equal to 2, got 1",
        ),
        ("model=gan evaluation.num=many", "evaluation.num: should be a valid integer, got 'many'"),
        ("model=gan evaluation.nun=3", "`evaluation.nun`: no such key; did you mean `num`?"),
        (
            "model=gan evaluation.layer=relu9",
            "evaluation.layer=relu9: layers must name layers of ConvClassifier, got relu9; there "
            "are: "
            "conv1, relu1, pool1, conv2, relu2, pool2, conv3, relu3, pool3, flatten, dense, relu4, "
            "logits",
        ),
        (
            "model=gan trainer.checkpoint.monitor=val/fd",
            "trainer.checkpoint.monitor=val/fd: no such metric; there are: val/class_entropy, "
            "val/classes_hit, val/critic_loss, val/diversity, val/fake_accuracy, val/fake_logit, "
            "val/fd_classifier, val/generator_loss, val/real_accuracy, val/real_logit",
        ),
        (
            "model=gan trainer.checkpoint.monitor=val/critic_loss",
            "trainer.checkpoint.mode: say min or max for val/critic_loss; neither is known",
        ),
        (
            "model=gan dataset.val_size=1",
            "metrics=samples: a split of one image has no spread to compare with; set "
            "dataset.val_size to 0 or to at least 2, or choose metrics=none",
        ),
        (
            "model=gan metrics=[samples,kernel] dataset.val_size=1",
            "metrics=samples,kernel: a split of one image has no spread",
        ),
        ("model=gan metrics=nothing", "metrics=nothing: no such metrics; there are: "),
    ],
)
def test_refusals(place: Path, overrides: str, message: str) -> None:
    said = train("metrics=samples", *overrides.split())
    assert said.code == 2
    assert said.message.startswith(message)
    assert list(place.iterdir()) == []


def test_early_stopping_may_watch_it(place: Path) -> None:
    stop = "trainer.early_stopping={patience: 1, min_delta: 1e9}"
    said = train(*GAN, stop, "trainer.max_steps=6", "trainer.val_check_interval=2",
                 "trainer.max_epochs=null")  # fmt: skip
    assert said.code == 0
    reason = library.load_run(only_run(place)).record["reason"]
    assert reason == "early stopping on val/fd_classifier at step 4"


def test_metrics_are_listed() -> None:
    listed = [line.split()[0] for line in ganvas("list", "metrics").out.splitlines() if line]
    assert {"none", "losses", "samples"} <= set(listed)
