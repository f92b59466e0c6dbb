"""Help, version, lists, check=true, Hydra's flags and sweeps."""

from __future__ import annotations

import json
import logging
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from engine_helpers import TINY, ganvas, train

import ganvas as library
from ganvas.engine.check import check_overrides
from ganvas.engine.listing import GROUPS, list_options
from ganvas.errors import ConfigError
from ganvas.paths import config_dir

# Help, version, lists


@pytest.mark.parametrize("arguments", [(), ("--help",), ("-h",), ("help",)])
def test_help(arguments: tuple[str, ...]) -> None:
    said = ganvas(*arguments)
    assert (said.code, said.err) == (0, "")
    for command in ("train", "sample RUN", "evaluate RUN", "list models|datasets", "version"):
        assert f"  ganvas {command}" in said.out


@pytest.mark.parametrize("argument", ["version", "--version"])
def test_version(argument: str) -> None:
    assert ganvas(argument).out == f"{library.__version__}\n"


def test_help_and_refused_keys_import_no_torch() -> None:
    program = (
        "import sys; from ganvas.cli.main import main; main(['--help']);"
        "assert main(['train', 'model=vea']) == 2; assert main(['list', 'models']) == 0;"
        "sys.exit(any(name in sys.modules for name in ('torch', 'wandb', 'pandas')))"
    )
    done = subprocess.run([sys.executable, "-c", program], check=False, capture_output=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("kind", GROUPS)
def test_list(kind: str) -> None:
    said = ganvas("list", kind)
    files = {f.stem for f in (config_dir() / GROUPS[kind]).glob("[!_]*.yaml")}
    lines = said.out.splitlines()
    assert {line.split("  ")[0] for line in lines} == files
    assert all(re.fullmatch(r"\S+ {2,}\S.+", line) for line in lines), said.out
    assert (said.code, said.err) == (0, "")


@pytest.mark.parametrize("kind", ["models", "losses", "datasets"])
def test_methods_are_listed_with_their_paper(kind: str) -> None:
    own = {"l1", "mse", "bce", "arrays", "image_folder"}
    for name, line in list_options(kind):
        assert name in own or re.search(r"\b(19|20)\d\d\b", line), (name, line)


# check=true


def parameters_shown(text: str) -> dict[str, int]:
    """Parameters by layer, from the table."""
    rows = [re.split(r"\s*│\s*", line) for line in text.splitlines() if "│" in line]
    return {row[1]: int(row[4].replace(",", "")) for row in rows}


@pytest.mark.parametrize("model", ["vae", "conv_ae", "dcgan"])
def test_check_counts_what_would_be_built(place: Path, model: str) -> None:
    from ganvas.engine.build import build_data, build_model

    overrides = (f"model={model}", "dataset=mnist")
    said = train(*overrides, "check=true")
    assert (said.code, said.err) == (0, "")
    checked = check_overrides([*TINY, *overrides])
    built = build_model(checked, build_data(checked))
    leaves = {n: m for n, m in built.named_modules() if n and not any(m.children())}
    counts = parameters_shown(said.out)
    assert counts == {n: sum(p.numel() for p in leaves[n].parameters()) for n in counts}
    totals = {n: sum(p.numel() for p in m.parameters()) for n, m in built.networks().items()}
    assert sum(counts.values()) == sum(totals.values())
    for name, total in totals.items():
        assert re.search(rf"{name} +{total:,} parameters", said.out)
    assert re.search(r"memory +about [\d,]+ MiB at batch size 128", said.out)
    assert re.search(r"steps +421 per epoch, 2 in all", said.out)
    assert said.out.rstrip().endswith("The config is good. Nothing was trained.")
    assert list(place.iterdir()) == []


def test_check_of_a_known_size(place: Path) -> None:
    """784-400-20-400-784: (784 + 1)·400 + 401·40, and (20 + 1)·400 + 401·784."""
    said = train("model=vae", "dataset=mnist", "check=true")
    assert parameters_shown(said.out) == {
        "encoder.layers.0": 314_000,
        "encoder.layers.1": 0,
        "encoder.layers.2": 16_040,
        "decoder.layers.0": 8_400,
        "decoder.layers.1": 0,
        "decoder.layers.2": 314_384,
        "decoder.output": 0,
    }
    config = yaml.safe_load(said.out.partition("model=vae for")[0])
    assert config["dataset"]["root"] == str(place / "data")
    assert config["loss"]["beta"] == 1.0


@pytest.mark.parametrize("dataset", ["cifar10", "celeba", "image_folder"])
def test_check_needs_no_files(place: Path, dataset: str) -> None:
    said = train(f"dataset={dataset}", "check=true")
    assert said.code == 0, said.err
    assert list(place.iterdir()) == []


def test_check_refuses_what_training_would(place: Path) -> None:
    said = train("loss.beta=-1", "check=true")
    assert (said.code, said.message) == (2, "loss.beta must be at least 0, got -1")
    assert list(place.iterdir()) == []


def test_check_under_a_sweep_trains_nothing(place: Path) -> None:
    said = train("-m", "model=vae,ae", "check=true")
    assert said.code == 0, said.err
    assert "model=vae" in said.out and "model=ae" in said.out
    assert said.out.endswith("The configs are good. Nothing was trained.\n")
    assert list(place.iterdir()) == []


def test_check_belongs_to_the_command_line(place: Path) -> None:
    with pytest.raises(ConfigError, match="check=true trains nothing"):
        library.train(["check=true"])
    assert list(place.iterdir()) == []


# Hydra's own flags


def test_cfg_prints_the_composed_config(place: Path) -> None:
    said = ganvas("train", "model=ae", "--cfg", "job")
    assert (said.code, said.err) == (0, "")
    config = yaml.safe_load(said.out)
    assert config["model"]["_target_"] == "ganvas.models.autoencoder.ae.Autoencoder"
    assert list(place.iterdir()) == []


def test_info_prints_the_defaults(place: Path) -> None:
    """In a process of its own: Hydra changes the root logger for good."""
    program = "from ganvas.cli.main import main; main(['train', '--info', 'defaults'])"
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        check=True,
        capture_output=True,
        text=True,
    )
    assert "| model/vae " in done.stdout
    assert list(place.iterdir()) == []


def test_hydras_help(place: Path) -> None:
    said = ganvas("train", "--help")
    assert said.code == 0
    assert "== Configuration groups ==" in said.out
    assert " ac_gan, adversarial_ae, ae, ae_gan" in said.out
    assert list(place.iterdir()) == []


def test_help_of_a_command(place: Path) -> None:
    said = ganvas("sample", "--help")
    assert said.code == 0
    assert said.out.startswith("ganvas: config-driven experiments")


# Sweeps


def test_a_sweep_makes_one_finished_run_for_each_cell(place: Path) -> None:
    said = train("-m", "model=vae,ae", "seed=0,1")
    assert said.code == 0, said.err
    files = sorted((place / "runs" / "sweeps").rglob("run.json"))
    (sweep,) = (place / "runs" / "sweeps").iterdir()
    assert len({f.parent for f in files}) == 4
    assert all(f.is_relative_to(sweep) for f in files)
    cells = set()
    for file in files:
        record = json.loads(file.read_text())
        config = yaml.safe_load((file.parent / "config.yaml").read_text())
        assert record["status"] == "finished"
        cells.add((record["choices"]["model"], config["seed"]))
    assert cells == {("vae", 0), ("vae", 1), ("ae", 0), ("ae", 1)}
    assert [p.name for p in (place / "runs").iterdir()] == ["sweeps"]
    assert not logging.getLogger("ganvas.tracking.hub").disabled  # Hydra left our loggers alone


def test_flags_may_stand_between_overrides(place: Path) -> None:
    said = ganvas("train", "model=ae,vae", "--multirun", *TINY, "check=true")
    assert said.code == 0, said.err
    assert "The configs are good." in said.out
    assert "model=ae" in said.out and "model=vae" in said.out
    assert list(place.iterdir()) == []
