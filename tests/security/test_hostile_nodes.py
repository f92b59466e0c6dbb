"""Nodes that name code, in every form, through every door: refused in a line or two, not run."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import yaml
from engine_helpers import Said, ganvas
from exporting import contents, forged

from ganvas.sweep.cells import add_cells, plan, thawed
from ganvas.sweep.job import Job, train_job
from ganvas.sweep.manifest import Manifest
from ganvas.tracking import config_hash

Node = Any


def made(canary: Path, **more: Any) -> dict[str, Any]:
    """A call that makes the canary."""
    return {"_target_": "os.mkdir", "path": str(canary), **more}


FORMS: dict[str, Callable[[Path], Node]] = {
    "plain": made,
    "partial": lambda canary: made(canary, _partial_=True),
    "partial of partial": lambda canary: {
        "_target_": "functools.partial",
        "_args_": [{"_target_": "os.mkdir", "_partial_": True}, str(canary)],
    },
    "by Hydra": lambda canary: {"_target_": "hydra.utils.call", "config": made(canary)},
    "by its method": lambda canary: {"_target_": "pathlib.Path.mkdir", "self": str(canary)},
    "in a list": lambda canary: {"_target_": "torch.nn.ModuleList", "modules": [made(canary)]},
    "in a list of lists": lambda canary: {
        "_target_": "torch.nn.ModuleList",
        "modules": [[{"a": [made(canary)]}]],
    },
    "positional": lambda canary: {"_target_": "torch.nn.Identity", "_args_": [made(canary)]},
    "under a key of its own": lambda canary: {
        "_target_": "ganvas.callbacks.images.ImageGrids",
        "_recursive_": False,
        "extra": {"deep": made(canary)},
    },
    "text": lambda canary: f"${{oc.decode:'{{_target_: os.mkdir, path: {canary}}}'}}",
    "a target that decodes": lambda canary: {
        "_target_": "${oc.decode:\"'os.mkdir'\"}",
        "path": str(canary),
    },
    "an alias": lambda canary: {"_target_": "torch.os.mkdir", "path": str(canary)},
    "an import": lambda canary: {"_target_": "importlib.import_module", "name": "evil"},
    "own code": lambda canary: {"_target_": "users_evil.Part", "path": str(canary)},
}

QUICK = ("plain", "partial", "in a list of lists", "text", "own code")
every_form = pytest.mark.parametrize(
    "form", [pytest.param(f, marks=[] if f in QUICK else pytest.mark.slow) for f in FORMS]
)


@pytest.fixture
def stranger(place: Path, monkeypatch: pytest.MonkeyPatch, fresh_modules: None) -> Path:
    """A folder with a module that makes the canary when it is imported, where it could be found."""
    evil = f"import os\nos.mkdir({str(place / 'canary')!r})\nclass Part: pass\n"
    for name in ("users_evil", "evil"):
        (place / f"{name}.py").write_text(evil)
    monkeypatch.syspath_prepend(place)
    monkeypatch.setenv("GANVAS_CACHE_DIR", str(place / "cache"))
    return place


def refused(said: Said, *, key: str) -> None:
    """By our message, which names the key."""
    assert said.code == 2, (said.out, said.err)
    assert key in said.message, said.err
    assert len(said.message.splitlines()) <= 4 and len(said.message) < 1500, said.err


@every_form
def test_a_record_in_a_folder_and_in_a_zip(
    form: str, stranger: Path, vae_run: Path, tmp_path: Path
) -> None:
    """With a hash that agrees with the config: whoever changed the one file can change both."""
    canary = stranger / "canary"
    run = Path(shutil.copytree(vae_run, tmp_path / "run"))
    whole = tmp_path / "whole.zip"
    assert ganvas("export", str(run), str(whole), "checkpoint=last").code == 0
    config = yaml.safe_load((run / "config.yaml").read_text())
    config["callbacks"]["mine"] = FORMS[form](canary)
    config["trust"] = ["os", "users_evil", "evil", "functools", "hydra"]
    files = contents(whole)
    packed = yaml.safe_load(files["config.yaml"])
    packed |= {"callbacks": config["callbacks"], "trust": config["trust"]}
    record = json.loads(files["run.json"]) | {"config_hash": config_hash(packed)}
    files |= {
        "config.yaml": yaml.safe_dump(packed).encode(),
        "run.json": json.dumps(record).encode(),
    }
    (run / "config.yaml").write_text(yaml.safe_dump(config))
    record = json.loads((run / "run.json").read_text()) | {"config_hash": config_hash(config)}
    (run / "run.json").write_text(json.dumps(record))
    for target in (run, forged(tmp_path / "forged.zip", files)):
        for command in ("sample", "evaluate"):
            said = ganvas(command, str(target), "accelerator=cpu")
            if form != "text" or said.code:  # which stays text, and what would read it is not made
                refused(said, key="callbacks")
        said = ganvas("reproduce", str(target), f"out={tmp_path / 'again'}")
        assert said.code in (2, 5), (said.out, said.err)
        assert "Traceback" not in said.err + said.out
        assert not (tmp_path / "again" / "config.yaml").exists()
        shutil.rmtree(tmp_path / "again", ignore_errors=True)
    refused(ganvas("train", f"resume={run}", "trainer.max_steps=3"), key="callbacks")
    assert not canary.exists()


@every_form
def test_a_folder_of_configs_and_what_is_typed(form: str, stranger: Path, vae_run: Path) -> None:
    """A typed interpolation is resolved, and what came out of it is checked."""
    canary, conf = stranger / "canary", stranger / "conf"
    node = FORMS[form](canary)
    options = {"experiment": {"callbacks": {"mine": node}}, "prior": node, "tool": node}
    options |= {"features": node, "metrics": {"mine": node}}
    for group, content in options.items():
        (conf / group).mkdir(parents=True)
        head = "# @package _global_\n" if group == "experiment" else ""
        (conf / group / "evil.yaml").write_text(head + yaml.safe_dump(content))
    tiny = ["model=ae", "dataset=digits", "trainer=cpu", "logger=none", "check=true"]
    for typed in (["experiment=evil"], ["+features=evil", "metrics=evil"]):
        said = ganvas("train", "--config-dir", str(conf), *tiny, *typed)
        refused(said, key="")
    for command, group in [("sample", "prior"), ("latent", "tool"), ("evaluate", "features")]:
        asked = [command, str(vae_run), "--config-dir", str(conf), f"{group}=evil"]
        refused(ganvas(*asked, "accelerator=cpu"), key="")
    assert not canary.exists()


@every_form
def test_a_cell_of_a_sweep(
    form: str, stranger: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With a hash that agrees with it: whoever changed the one file could change the other."""
    canary, folder = stranger / "canary", tmp_path / "sweep"
    folder.mkdir()
    manifest = Manifest.create(folder, command="", overrides=[], launcher={})
    base = ["model=ae", "dataset=digits", "trainer=cpu", "trainer.max_steps=2", "logger=none"]
    [cell], _ = add_cells(manifest, plan([base], data=False))
    file = folder / "cells" / "0000.yaml"
    stored = yaml.safe_load(file.read_text())
    stored["config"]["callbacks"]["mine"] = FORMS[form](canary)
    stored["config"]["trust"] = ["os", "users_evil", "evil", "functools", "hydra"]
    file.write_text(yaml.safe_dump(stored))
    cell.config_hash = config_hash(stored["config"])
    manifest.save()
    again = Manifest.load(folder)
    config, choices = thawed(again, again.cells[0])
    job = Job(config, choices, (), (), folder / "run", False, folder / "log", 1, {})
    assert train_job(job) == 2
    told = capsys.readouterr().err
    assert "callbacks" in told and "Traceback" not in told and len(told.splitlines()) <= 3, told
    assert not canary.exists() and not (folder / "run").exists()


def test_each_form_would_do_harm_were_it_let_through(tmp_path: Path) -> None:
    """Two-sided: Hydra's own `instantiate`, which checks nothing, makes the canary."""
    from hydra.utils import instantiate

    for form in ("plain", "in a list", "partial"):
        canary = tmp_path / form.replace(" ", "-")
        with suppress(Exception):  # what is built around the harm fails after it
            found = instantiate(FORMS[form](canary))
            found()
        assert canary.is_dir(), form
