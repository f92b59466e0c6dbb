"""A run is resumed as the run that it was; what would make it another is named."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from engine_helpers import ganvas, only_run, train
from PIL import Image

import ganvas as library
from ganvas.errors import GanvasWarning

SMALL = ("network.encoder.hidden=[8]", "network.decoder.hidden=[8]", "dataset.max_train=64")
MEANT = "resume_with_changes=true"


def record_of(run: Path) -> dict[str, Any]:
    return json.loads((run / "run.json").read_text())


def files_of(run: Path) -> dict[str, bytes]:
    found = {str(p.relative_to(run)): p for p in run.rglob("*") if p.is_file()}
    return {name: path.read_bytes() for name, path in found.items()}


@pytest.fixture(scope="module")
def small_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("small")
    assert train(f"paths.runs_dir={folder}", *SMALL).code == 0
    return only_run(folder)


@pytest.fixture
def run(small_run: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(small_run, tmp_path / "run"))


def test_each_difference_is_named_and_nothing_is_changed(run: Path) -> None:
    before = files_of(run)
    said = ganvas("train", f"resume={run}", "trainer.max_steps=4", "loss.beta=4", "seed=7")
    assert said.code == 2
    *differences, remedy = said.message.splitlines()
    assert sorted(differences) == [
        "loss.beta: trained with 1.0, to be resumed with 4",
        "seed: trained with 0, to be resumed with 7",
    ]
    assert f"add {MEANT}" in remedy
    assert files_of(run) == before


def test_an_empty_name_begins_no_new_run(place: Path) -> None:
    said = ganvas("train", "resume=")
    assert said.code == 2
    assert said.message.startswith("resume=: must be a run's folder, got nothing")
    assert list(place.iterdir()) == []


def test_an_edited_config_is_a_difference(run: Path) -> None:
    config = yaml.safe_load((run / "config.yaml").read_text())
    config["optimizer"]["lr"] = 0.5
    (run / "config.yaml").write_text(yaml.safe_dump(config))
    said = ganvas("train", f"resume={run}", "trainer.max_steps=4")
    assert said.code == 2
    assert said.message.startswith("optimizer.lr: trained with 0.001, to be resumed with 0.5\n")


def test_changes_that_are_meant_are_made_and_kept(run: Path) -> None:
    former = (run / "config.yaml").read_bytes()
    said = ganvas("train", f"resume={run}", "trainer.max_steps=4", "loss.beta=4", MEANT)
    assert said.code == 0, said.err
    record = record_of(run)
    [note] = record["resumed"]
    assert note["from_step"] == 2
    assert note["changes"] == ["loss.beta: trained with 1.0, to be resumed with 4"]
    config = yaml.safe_load((run / "config.yaml").read_text())
    assert (config["loss"]["beta"], config["trainer"]["max_steps"]) == (4, 4)
    assert (run / "config-until-2.yaml").read_bytes() == former
    last = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)
    assert last["ganvas_counters"]["step"] == 4
    assert last["ganvas_identity"]["config"]["loss"]["beta"] == 4
    assert record["weights"]["last"] == {"step": 4, "sha256": last["ganvas_hashes"]["weights"]}
    again = ganvas("train", f"resume={run}", "trainer.max_steps=6")
    assert again.code == 0, again.err  # it goes on as what it has become


def test_a_larger_budget_is_no_other_run(run: Path) -> None:
    before = record_of(run)["config_hash"]
    assert ganvas("train", f"resume={run}", "trainer.max_steps=4").code == 0
    record = record_of(run)
    assert record["resumed"][0]["changes"] == []
    assert record["config_hash"] != before  # a config that trains for four steps
    assert yaml.safe_load((run / "config.yaml").read_text())["trainer"]["max_steps"] == 4


def test_a_run_goes_on_with_the_threads_that_it_began_with(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One thread and two add up in another order, so their last bits differ."""
    record = record_of(run)
    record["hardware"] |= {"torch_threads": 3, "cpu_capability": "AVX9"}
    (run / "run.json").write_text(json.dumps(record))
    used: list[int] = []
    monkeypatch.setattr(torch, "set_num_threads", used.append)
    with pytest.warns(GanvasWarning, match=r"other conditions \(cpu_capability AVX9, now \w+\)"):
        library.train([f"resume={run}", "trainer.max_steps=4"])
    assert used == [3]


def test_a_number_may_be_written_as_hydra_takes_it(run: Path) -> None:
    said = ganvas("train", f"resume={run}", "trainer.max_steps=4", "optimizer.lr=1e-3")
    assert said.code == 0, said.err  # it is the former 0.001


def test_a_secret_is_in_no_checkpoint(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is `***` in the record's config, with which the run goes on."""
    secret = "hush-hush-hush"
    monkeypatch.setenv("HUB_TOKEN", secret)
    assert train(*SMALL, f"tags=[{secret}]").code == 0
    run = only_run(place / "runs")
    said = ganvas("train", f"resume={run}", "trainer.max_steps=4")
    assert said.code == 0, said.err
    assert not [name for name, content in files_of(run).items() if secret.encode() in content]


def test_other_images(tmp_path: Path, place: Path) -> None:
    folder = tmp_path / "images" / "one"
    folder.mkdir(parents=True)
    for i in range(20):
        Image.new("L", (8, 8), color=10 * i).save(folder / f"{i}.png")
    data = ("dataset=image_folder", f"dataset.root={folder.parent}", "dataset.image_size=8")
    said = train(*data, "dataset.batch_size=4", "dataset.val_size=4", *SMALL[:2])
    assert said.code == 0, said.err
    run = only_run(place / "runs")
    Image.new("L", (8, 8), color=255).save(folder / "3.png")
    before = files_of(run)
    said = ganvas("train", f"resume={run}", "trainer.max_steps=4")
    assert said.code == 2
    assert said.message.startswith("dataset: its images have changed since the checkpoint was ")
    assert files_of(run) == before
    assert ganvas("train", f"resume={run}", "trainer.max_steps=4", MEANT).code == 0
