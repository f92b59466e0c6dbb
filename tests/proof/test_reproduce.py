"""`ganvas reproduce`: runs that are what they say, and records that were tampered with."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from reproducing import Proof, edit, edit_cell, reproduce, tree

from engine.engine_helpers import ganvas
from ganvas.tracking.files import read_run_json


def test_a_vae_is_bitwise_equal(run: Path, proved: Proof) -> None:
    content = proved.content
    assert proved.said.code == content["exit_code"] == 0, proved.said.out + proved.said.err
    assert content["verdict"] == "bitwise equal"
    assert "bitwise equal" in proved.said.out
    outcomes = {part["name"]: part["outcome"] for part in content["comparison"]}
    assert set(outcomes.values()) == {"equal"}
    assert {"trace", "weights of last", "metrics.csv", "final and best", "pictures"} <= set(
        outcomes
    )
    assert {c["verdict"] for c in content["conditions"]} == {"same"}
    assert content["original"]["folder"] == str(run)
    assert content["first_difference"] is None
    record, original = read_run_json(proved.folder), read_run_json(run)
    assert record["reproduction_of"] == str(run)
    assert record["config_hash"] == original["config_hash"]
    assert record["weights"] == original["weights"]


def test_a_gan_is_bitwise_equal_and_the_original_is_left_alone(
    made: Callable[[str], Path], tmp_path: Path
) -> None:
    run = made("gan")
    before = tree(run)
    assert reproduce(run, tmp_path / "again").said.code == 0
    assert tree(run) == before


@pytest.mark.usefixtures("as_proved")
def test_one_bit_of_the_trace_is_found_at_its_step_and_term(copied: Path, tmp_path: Path) -> None:
    edit_cell(copied / "trace.csv", row=2, column="rate", by=lambda x: math.nextafter(x, math.inf))
    proof = reproduce(copied, tmp_path / "again")
    first = proof.content["first_difference"]
    assert (proof.said.code, first["table"]) == (4, "trace.csv")
    assert (first["step"], first["term"]) == (3, "rate")
    assert first["recorded"] == math.nextafter(first["here"], math.inf)
    assert proof.content["verdict"] == "diverged at step 3"
    assert repr(first["recorded"]) in proof.content["text"]
    assert repr(first["here"]) in proof.content["text"]
    assert "no recorded condition differs" in proof.content["text"]
    assert proof.part("weights of last")["outcome"] == "equal"


@pytest.mark.usefixtures("as_proved")
def test_a_divergence_names_the_conditions_that_differ(copied: Path, tmp_path: Path) -> None:
    def other(record: dict[str, Any]) -> None:
        record["packages"]["torch"] = "1.0"
        record["determinism"]["threads"] = 7
        record["metrics"]["test/elbo"]["final"]["value"] *= 2

    edit(copied, other)
    edit_cell(copied / "trace.csv", row=0, column="loss", by=lambda x: x + 1)
    proof = reproduce(copied, tmp_path / "again")
    assert proof.said.code == 4
    assert proof.condition("packages")["recorded"] == "torch 1.0"
    assert proof.condition("threads")["recorded"] == "7"
    for name in ("packages", "threads"):
        assert proof.condition(name)["verdict"] == "differs"
        assert f"{name} (" in proof.content["text"]
    assert "code (" not in proof.content["text"]


@pytest.mark.usefixtures("as_proved")
def test_other_sources_with_equal_results_are_told(copied: Path, tmp_path: Path) -> None:
    edit(
        copied, lambda r: r["code"].update(sources="0" * 64, parts={**r["code"]["parts"], "nn": ""})
    )
    proof = reproduce(copied, tmp_path / "again")
    assert proof.said.code == 0
    assert proof.condition("code")["verdict"] == "differs"
    assert proof.condition("code")["note"] == "other sources in nn"
    assert "under other conditions (code)" in proof.content["text"]


@pytest.mark.usefixtures("as_proved")
@pytest.mark.parametrize(
    ("factor", "options", "code"),
    [(1.009, (), 3), (1.02, (), 4), (1.02, ("tolerance=0.05",), 3), (1.009, ("tolerance=0",), 4)],
)
def test_metrics_have_a_tolerance(
    copied: Path, tmp_path: Path, factor: float, options: tuple[str, ...], code: int
) -> None:
    def moved(record: dict[str, Any]) -> None:
        record["metrics"]["test/elbo"]["final"]["value"] *= factor

    edit(copied, moved)
    proof = reproduce(copied, tmp_path / "again", *options)
    (metric,) = proof.content["metrics"]
    assert proof.said.code == code
    assert metric["name"] == "test/elbo final"
    assert metric["within"] == (code == 3)
    assert metric["difference"] == metric["here"] - metric["recorded"]


@pytest.mark.usefixtures("as_proved")
def test_a_tolerance_excuses_no_bits_without_a_reason(copied: Path, tmp_path: Path) -> None:
    edit_cell(copied / "trace.csv", row=1, column="loss", by=lambda x: x * 1.0001)
    assert reproduce(copied, tmp_path / "first").said.code == 4
    edit(copied, lambda record: record["hardware"].update(cpu="another"))
    proof = reproduce(copied, tmp_path / "second")
    assert proof.said.code == 3
    assert "loss of step 2" in proof.content["text"]
    assert "hardware (another" in proof.content["text"]


@pytest.mark.usefixtures("as_proved")
def test_altered_weights_are_told(copied: Path, tmp_path: Path) -> None:
    file = copied / "checkpoints" / "last.ckpt"
    content = torch.load(file, weights_only=True)
    name = sorted(content["state_dict"])[0]
    content["state_dict"][name] += 0.5
    file.unlink()  # best.ckpt may be a second name of it
    torch.save(content, file)
    proof = reproduce(copied, tmp_path / "again")
    assert proof.said.code == 4
    assert proof.condition("weights")["verdict"] == "differs"
    assert "last.ckpt is not what the run recorded" in proof.content["text"]
    assert "the re-run agrees with the record" in proof.content["text"]


@pytest.mark.usefixtures("as_proved")
def test_other_weights_are_named(copied: Path, tmp_path: Path) -> None:
    file = copied / "checkpoints" / "last.ckpt"
    content = torch.load(file, weights_only=True)
    name = list(content["state_dict"])[1]
    content["state_dict"][name] += 0.5
    del content["ganvas_hashes"]
    file.unlink()
    torch.save(content, file)
    edit(copied, lambda record: record.pop("weights"))  # as an earlier version had it
    proof = reproduce(copied, tmp_path / "again")
    assert proof.said.code == 4
    assert f"first {name}, by up to 0.5" in proof.part("weights of last")["text"]
    assert proof.part("weights of best")["outcome"] == "equal"


@pytest.mark.usefixtures("as_proved")
def test_another_picture_is_told(copied: Path, tmp_path: Path) -> None:
    file = sorted((copied / "samples").glob("*.png"))[0]
    picture = Image.open(file).convert("RGB")
    picture.putpixel((3, 3), (255 - picture.getpixel((3, 3))[0], 0, 9))
    picture.save(file)
    proof = reproduce(copied, tmp_path / "again")
    assert proof.said.code == 4
    assert proof.part("pictures")["text"].startswith(file.name)


@pytest.mark.usefixtures("as_proved")
def test_what_is_missing_limits_the_claim(copied: Path, tmp_path: Path) -> None:
    (copied / "trace.csv").unlink()
    shutil.rmtree(copied / "checkpoints")
    edit(copied, lambda record: record.pop("weights"))
    proof = reproduce(copied, tmp_path / "again")
    assert proof.said.code == 0
    assert "not compared: trace and weights" in proof.content["text"]
    for name in ("metrics.csv", "samples"):
        path = copied / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    edit(copied, lambda record: record.update(metrics={}))
    assert reproduce(copied, tmp_path / "nothing").said.code == 5


def test_reproductions_are_no_further_seeds(run: Path, proved: Proof, tmp_path: Path) -> None:
    shutil.copytree(run, tmp_path / "runs" / "vae" / "one")
    again = shutil.copytree(proved.folder, tmp_path / "runs" / "reproductions" / "vae" / "two")
    said = ganvas("compare", str(tmp_path / "runs"), "format=runs")
    assert "1 reproduction left out" in said.err
    assert len(said.out.splitlines()) == 2
    assert len(ganvas("compare", str(again), "format=runs").out.splitlines()) == 2
