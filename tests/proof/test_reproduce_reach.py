"""How far `ganvas reproduce` goes: prefixes, runs that did not end, records that rule it out."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from reproducing import edit, reproduce

from engine.engine_helpers import ganvas
from ganvas.engine.checkpoint_files import weights_of
from ganvas.engine.train import Outcome
from ganvas.tracking.files import read_run_json


def test_a_prefix_alone(run: Path, tmp_path: Path) -> None:
    proof = reproduce(run, tmp_path / "again", "--steps", "3")
    assert proof.said.code == 0
    assert read_run_json(proof.folder)["total_steps"] == 3
    assert proof.part("trace")["text"].startswith("3 steps")
    assert proof.part("weights of last")["outcome"] == "not compared"
    assert proof.content["steps"] == 3
    assert "the first 3 steps alone" in proof.content["text"]
    assert "final and best" not in [part["name"] for part in proof.content["comparison"]]


def test_an_interrupted_run_is_repeated_as_far_as_it_came(copied: Path, tmp_path: Path) -> None:
    lines = (copied / "trace.csv").read_text().splitlines(keepends=True)
    (copied / "trace.csv").write_text("".join(lines[:4]) + "4,0.1")  # killed in the midst of a line
    edit(copied, lambda record: record.update(status="interrupted", metrics={}))
    proof = reproduce(copied, tmp_path / "again")
    assert proof.said.code == 0
    assert proof.content["steps"] == 4
    assert proof.part("trace")["text"].startswith("3 steps")
    assert proof.part("weights of last")["outcome"] == "equal"
    assert "the run was interrupted" in proof.content["text"]


@pytest.mark.usefixtures("as_proved")
def test_a_killed_run_has_weights_of_a_step_before_its_last(copied: Path, tmp_path: Path) -> None:
    files = copied / "checkpoints"
    told = weights_of(files / "previous.ckpt")
    (files / "last.ckpt").unlink()
    (files / "previous.ckpt").rename(files / "last.ckpt")
    edit(copied, lambda record: record.update(status="running", weights=None))
    proof = reproduce(copied, tmp_path / "again")
    assert (proof.said.code, proof.content["steps"]) == (0, 4)
    assert told["step"] < 4
    text = f"step {told['step']}, sha256 {told['sha256'][:8]}"
    assert proof.part("weights of last")["text"].startswith(text)
    assert proof.part("weights of best")["outcome"] == "equal"
    state = torch.load(files / "last.ckpt", weights_only=True)
    next(iter(state["state_dict"].values())).add_(1)
    del state["ganvas_hashes"]
    torch.save(state, files / "last.ckpt")
    assert reproduce(copied, tmp_path / "other").said.code == 4


def _edited_config(run: Path) -> None:
    file = run / "config.yaml"
    file.write_text(file.read_text().replace("seed: 0", "seed: 1", 1))


def _changed(**fields: Any) -> Callable[[Path], None]:
    return lambda run: edit(run, lambda record: record.update(fields))


def _no_steps(run: Path) -> None:
    (run / "trace.csv").unlink()
    shutil.rmtree(run / "checkpoints")
    edit(run, lambda record: record.update(status="running", weights={}))


def _gone_parent(run: Path) -> None:
    from ganvas.engine.runs import read_config
    from ganvas.tracking import config_hash
    from ganvas.tracking.files import write_yaml

    config = {**read_config(run), "init_from": str(run / "nowhere")}
    write_yaml(run / "config.yaml", config)
    edit(run, lambda record: record.update(config_hash=config_hash(config)))


@pytest.mark.parametrize(
    ("tamper", "why"),
    [
        (_edited_config, "config.yaml is not the one that the run recorded"),
        (_changed(dataset_fingerprint="0" * 64), "the images are not those it was trained on"),
        (_changed(resumed=[{"from_step": 2, "changes": ["loss.beta: 1 → 2"]}]), "loss.beta: 1 → 2"),
        (_no_steps, "recorded no step"),
        (_gone_parent, "init_from=RUN says where it is now"),
    ],
)
def test_what_rules_a_comparison_out(
    copied: Path, tmp_path: Path, tamper: Callable[[Path], None], why: str
) -> None:
    tamper(copied)
    proof = reproduce(copied, tmp_path / "again")
    assert proof.said.code == proof.content["exit_code"] == 5
    assert proof.content["verdict"] == "not comparable"
    assert why in proof.content["text"]
    assert proof.content["reproduction"] is None
    assert [file.name for file in proof.folder.iterdir()] == ["reproduction.json"]


def test_a_config_that_may_not_be_built(copied: Path, tmp_path: Path) -> None:
    from ganvas.engine.runs import read_config
    from ganvas.tracking import config_hash
    from ganvas.tracking.files import write_yaml

    config = {**read_config(copied), "callbacks": {"evil": {"_target_": "os.system"}}}
    write_yaml(copied / "config.yaml", config)
    edit(copied, lambda record: record.update(config_hash=config_hash(config)))
    proof = reproduce(copied, tmp_path / "again")
    assert proof.said.code == 5
    assert "os.system" in proof.content["text"]


def test_the_re_run_gets_the_recorded_threads_and_no_more_than_it_tells(
    copied: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    def repeat(checked: Any, **named: Any) -> Outcome:
        seen.append((torch.get_num_threads(), checked.config["logger"]["_target_"]))
        named["folder"].mkdir()
        return Outcome(named["folder"], 1, "it broke")

    monkeypatch.setattr("ganvas.proof.reproduce.repeat", repeat)
    before = torch.get_num_threads()
    edit(copied, lambda record: record["determinism"].update(threads=before + 1))
    proof = reproduce(copied, tmp_path / "again")
    assert seen == [(before + 1, "ganvas.tracking.NullTracker")]
    assert torch.get_num_threads() == before
    assert proof.said.code == 1
    assert (proof.content["verdict"], proof.content["text"]) == (None, "it broke")
    assert "no verdict" in proof.said.out


def test_evaluations_are_measured_again(copied: Path, tmp_path: Path) -> None:
    said = ganvas("evaluate", str(copied), "metrics=[losses,samples]", "num=40", "accelerator=cpu")
    assert said.code == 0, said.err
    recorded = read_run_json(copied)["evaluations"]
    proof = reproduce(copied, tmp_path / "equal")
    assert proof.said.code == 0
    assert proof.part("evaluations")["text"] == f"{len(recorded)} values"

    def moved(record: dict[str, Any]) -> None:
        first, second, third = record["evaluations"][:3]
        first["value"] *= 1.002
        second["protocol"]["seed"] = -1
        del third["provenance"]["command"]

    edit(copied, moved)
    proof = reproduce(copied, tmp_path / "moved")
    (metric,) = proof.content["metrics"]
    assert (proof.said.code, metric["recorded"]) == (3, recorded[0]["value"] * 1.002)
    assert "by another protocol now (seed)" in proof.part("evaluations left out")["text"]
    assert proof.part("evaluations")["text"] == f"{len(recorded) - 2} values, 1 differ"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("nowhere",), "nowhere is not there"),
        ((), "takes one run, got none"),
        (("RUN", "RUN"), "takes one run"),
        (("RUN", "--stepz", "3"), "no such flag"),
        (("RUN", "--steps", "99"), "the run recorded 4 steps"),
        (("RUN", "--steps"), "`--steps` takes a value"),
        (("RUN/..",), "is no run, and holds"),
        (("RUN", "steps=0"), "steps"),
        (("RUN", "tolerance=-1"), "tolerance"),
        (("RUN", "out=RUN"), "there is a run already"),
        (("RUN", "stepz=3"), "stepz"),
    ],
)
def test_refusals(run: Path, arguments: tuple[str, ...], message: str) -> None:
    said = ganvas("reproduce", *(a.replace("RUN", str(run)) for a in arguments))
    assert said.code == 2, said.out
    assert message in said.message


def test_a_damaged_trace_is_refused_before_any_work(copied: Path, tmp_path: Path) -> None:
    (copied / "trace.csv").write_text("step,loss\n1,0.5\nx,0.5\n")
    proof = reproduce(copied, tmp_path / "again")
    assert (proof.said.code, proof.folder.exists()) == (2, False)
    assert "is damaged" in proof.said.message


@pytest.mark.slow
def test_two_ranks_are_bitwise_equal(tmp_path: Path) -> None:
    said = ganvas(
        "train", "model=vae", "trainer=cpu", "trainer.devices=2", "trainer.max_steps=4",
        "logger=none", "dataset.batch_size=32", f"paths.runs_dir={tmp_path / 'runs'}",
    )  # fmt: skip
    assert said.code == 0, said.err
    (run,) = (file.parent for file in (tmp_path / "runs").rglob("run.json"))
    proof = reproduce(run, tmp_path / "again")
    assert proof.said.code == 0, proof.said.out
    assert "2 ranks" in proof.condition("threads")["recorded"]
    assert json.loads((run / "run.json").read_text())["determinism"]["threads"] >= 1
