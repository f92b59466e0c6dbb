"""`ganvas export`: a run in one file, the same for the same run, that others can work with."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from exporting import contents, export
from PIL import Image

import ganvas as package
from engine.engine_helpers import ganvas
from ganvas.engine.checkpoint_files import read_checkpoint
from ganvas.engine.content_hash import content_hash
from ganvas.engine.runs import read_config
from ganvas.engine.weights_files import read_weights, weights_bytes
from ganvas.errors import CheckpointError, ConfigError
from ganvas.tracking import config_hash
from ganvas.tracking.record import RunRecord


def test_a_zip_holds_the_run_as_a_folder_of_its_own(run: Path, exported: Path) -> None:
    files = contents(exported)
    assert {"checkpoints/best.safetensors", "checkpoints/last.safetensors"} <= files.keys()
    for name in ("metrics.csv", "trace.csv"):
        assert files[name] == (run / name).read_bytes()
    pictures = {f"samples/{file.name}" for file in (run / "samples").glob("*.png")}
    assert pictures and pictures <= files.keys()
    assert not any(name.endswith((".ckpt", ".txt", ".lock")) for name in files)
    record = json.loads(files["run.json"])
    mine = json.loads((run / "run.json").read_text())
    assert record["metrics"] == mine["metrics"]
    assert record["weights"] == mine["weights"]


def test_the_same_run_gives_the_same_bytes(run: Path, exported: Path, tmp_path: Path) -> None:
    again = tmp_path / "another name.zip"
    assert export(run, again).code == 0
    assert again.read_bytes() == exported.read_bytes()
    assert export(exported, tmp_path / "of a zip.zip").code == 0
    assert (tmp_path / "of a zip.zip").read_bytes() == exported.read_bytes()


def test_nothing_of_this_machine_and_no_secret_goes_out(
    copied: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = "s3cr3t-of-the-environment"
    monkeypatch.setenv("HUB_TOKEN", secret)
    file = copied / "run.json"
    record = json.loads(file.read_text())
    record |= {
        "command": f"ganvas train paths.runs_dir={copied.parent} hub={secret}",
        "reason": f"no space in {copied}/samples",
        "parent": "/some/where/private/runs/vae/one",
    }
    file.write_text(json.dumps(record))
    (copied / "git.diff").write_text(f"+api_key = '{secret}'\n+password: hunter2hunter2\n")
    (copied / "log.txt").write_text(secret)
    assert export(copied, tmp_path / "out.zip").code == 0
    files = contents(tmp_path / "out.zip")
    text = b"\n".join(data for name, data in files.items() if not name.startswith("samples/"))
    assert secret.encode() not in text
    assert b"hunter2" not in text
    assert str(tmp_path).encode() not in text
    assert str(Path.home()).encode() not in text
    told = json.loads(files["run.json"])
    assert told["reason"] == "no space in <run>/samples"
    assert told["parent"] == "…/vae/one"
    assert told["command"].startswith("ganvas train paths.runs_dir=…/")


def test_the_config_is_the_same_on_another_machine(
    run: Path, exported: Path, elsewhere: Path
) -> None:
    opened = package.load_run(exported)
    assert config_hash(opened.config) == opened.record["config_hash"]
    assert config_hash(opened.config) == config_hash(read_config(run))
    assert opened.config["paths"]["data_dir"] == str(elsewhere / "data")
    assert opened.config["dataset"]["root"] == str(elsewhere / "data")
    assert opened.metrics().equals(package.load_run(run).metrics())


@pytest.mark.parametrize("kind", ["vae", "gan"])
def test_weights_come_back_to_the_bit(
    kind: str, made: Callable[[str], Path], tmp_path: Path, elsewhere: Path
) -> None:
    folder = made(kind)
    opened = package.load_run(package.load_run(folder).export(tmp_path / "a.zip"))
    for name in ("best", "last"):
        mine = package.load_run(folder).load_model(name).module
        theirs = opened.load_model(name).module
        assert content_hash(theirs.state_dict()) == content_hash(mine.state_dict())
        assert theirs.counters == mine.counters
    noise = torch.randn(4, mine.latent_dim)
    ours = package.load_run(folder).model.sample(4, noise=noise)
    assert torch.equal(opened.model.sample(4, noise=noise), ours)


def test_every_kind_of_tensor_comes_back(tmp_path: Path) -> None:
    grid = torch.arange(12.0).reshape(3, 4)
    state = {
        "float": grid, "tied": grid, "view": grid[1:], "transposed": grid.t(), "nothing": grid[:0],
        "half": grid.half(), "brain": grid.bfloat16(), "double": grid.double(),
        "count": torch.tensor(7), "mask": grid > 2, "byte": grid.byte(), "complex": grid.cfloat(),
        "number": torch.tensor(float("nan")), "slice": grid[:, ::2],
    }  # fmt: skip
    checkpoint = {"state_dict": state, "ganvas_counters": {"step": 3, "images_seen": 12}}
    file = tmp_path / "last.safetensors"
    content = weights_bytes(checkpoint, config_hash="0", path=file)
    file.write_bytes(content)
    found = read_checkpoint(file)
    assert content_hash(found["state_dict"]) == content_hash(state)
    assert found["ganvas_counters"] == checkpoint["ganvas_counters"]
    assert weights_bytes(found, config_hash="0", path=file) == content
    altered = bytearray(content)
    altered[-1] ^= 1
    file.write_bytes(altered)
    with pytest.raises(CheckpointError, match="not those that were written"):
        read_weights(file)
    with pytest.raises(CheckpointError, match="no tensor"):
        weights_bytes({**checkpoint, "state_dict": {"extra": {}}}, config_hash="0", path=file)


def test_a_stranger_samples_draws_and_evaluates(exported: Path, elsewhere: Path) -> None:
    file = Path(shutil.copy(exported, elsewhere / "a run=1.zip"))
    before = file.read_bytes()
    said = ganvas("sample", str(file), "n=4")
    drawn = elsewhere / "a run=1-drawn-best-n4-seed0.png"
    assert said.out.strip() == str(drawn)
    assert np.asarray(Image.open(drawn)).std() > 0
    assert ganvas("latent", str(file), "tool=interpolate", "tool.steps=3").code == 0
    (picture,) = elsewhere.glob("a run=1-interpolate-*.png")
    text = yaml.safe_load(picture.with_suffix(".yaml").read_text())
    assert str(file) in text["command"].replace("'", "")
    said = ganvas("evaluate", str(file), "metrics=[losses]")
    assert said.code == 0, said.err
    assert "recorded in" in said.err
    (value,) = [r for r in package.load_run(file).evaluations() if r.name == "elbo"]
    assert repr(value.value) in str(package.load_run(file).record["evaluations"])
    assert file.read_bytes() == before
    assert {p.suffix for p in elsewhere.iterdir() if p.is_file()} == {".zip", ".png", ".yaml"}


def test_training_begins_with_an_exported_run_but_does_not_go_on(
    exported: Path, elsewhere: Path
) -> None:
    options = ("network.encoder.hidden=[8]", "network.decoder.hidden=[8]", "dataset=digits")
    assert ganvas("train", "model=vae", *options, f"init_from={exported}", "check=true").code == 0
    said = ganvas("train", f"resume={exported}")
    assert said.code == 2
    folder = package.load_run(exported).path
    said = ganvas("train", f"resume={folder}", "trainer.max_steps=9")
    assert (said.code, "init_from=" in said.message) == (2, True)


def test_the_model_card_says_what_the_record_says(
    copied: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = ganvas("evaluate", str(copied), "metrics=[samples]", "num=20")
    assert said.code == 0, said.err
    monkeypatch.chdir(tmp_path)
    assert export(copied).code == 0
    record = json.loads((copied / "run.json").read_text())
    zipped = tmp_path / f"tiny-{record['id']}.zip"
    card = contents(zipped)["README.md"].decode()
    (measured,) = (e for e in record["evaluations"] if e["name"].startswith("fd_"))
    final = record["metrics"]["test/elbo"]["final"]["value"]
    for text in (
        record["command"].partition(" paths.")[0], record["config_hash"], f"{final:.6g}",
        record["dataset_fingerprint"],
        f"{measured['value']:.6g}", "num=20", record["weights"]["last"]["sha256"],
        f"ganvas reproduce {zipped.name}", "Not stated", record["packages"]["torch"],
    ):  # fmt: skip
        assert text in card, text
    assert "None" not in card.replace("None were recorded", "")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["out.tar"], "must be a file that ends in .zip"),
        (["there.zip"], "add overwrite=true"),
        (["no/such/out.zip"], "there is no folder"),
        (["folder.zip"], "is a folder"),
        (["a.zip", "checkpoint=first"], "checkpoint must be one of both, best, last, none"),
        (["a.zip", "b.zip"], "one run and one zip"),
        (["a.zip", "checkpiont=best"], "no such option"),
    ],
)
def test_refusals_leave_nothing(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there.zip").write_text("mine")
    (tmp_path / "folder.zip").mkdir()
    said = export(run, *arguments)
    assert (said.code, message in said.message) == (2, True), said.err
    assert sorted(p.name for p in tmp_path.iterdir()) == ["folder.zip", "there.zip"]
    assert (tmp_path / "there.zip").read_text() == "mine"


def test_choices_of_weights(run: Path, tmp_path: Path) -> None:
    out = tmp_path / "a.zip"
    for choice, names in {"best": {"best"}, "last": {"last"}, "none": set()}.items():
        assert export(run, out, f"checkpoint={choice}", "overwrite=true").code == 0
        files = {Path(n).stem for n in contents(out) if n.startswith("checkpoints/")}
        assert files == names
    said = ganvas("sample", str(out))
    assert (said.code, "no checkpoint" in said.message) == (2, True)
    with pytest.raises(ConfigError, match="is there"):
        package.load_run(run).export(out)


def test_a_run_in_use_or_with_damaged_weights_is_not_exported(copied: Path, tmp_path: Path) -> None:
    record = RunRecord.open(copied, resume=False)
    said = export(copied, tmp_path / "a.zip")
    record.close()
    assert (said.code, "in use" in said.message) == (2, True)
    weights = copied / "checkpoints" / "last.ckpt"
    weights.unlink()
    weights.write_bytes((copied / "checkpoints" / "best.ckpt").read_bytes()[:-100])
    said = export(copied, tmp_path / "a.zip")
    assert (said.code, "damaged" in said.message) == (2, True)
    assert not (tmp_path / "a.zip").exists()


def test_two_processes_open_one_zip_at_once(exported: Path, elsewhere: Path) -> None:
    found: list[Path] = []
    threads = [
        threading.Thread(target=lambda: found.append(package.load_run(exported).path))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(found)) == 1 and len(found) == 4
    assert [p.name for p in found[0].parent.iterdir()] == [found[0].name]
