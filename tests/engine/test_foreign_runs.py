"""Runs from elsewhere: damaged, or made to run code; none of it executes."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from engine_helpers import ganvas

import ganvas as library
from ganvas.engine.checkpoint_files import read_checkpoint
from ganvas.errors import CheckpointError, ConfigError, RunError


class Payload:
    """Makes a folder when it is unpickled."""

    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return os.mkdir, (str(self.canary),)


def rewrite(run: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Change a run's config in place."""
    file = run / "config.yaml"
    config = yaml.safe_load(file.read_text())
    change(config)
    file.write_text(yaml.safe_dump(config))


def state(run: Path) -> dict[str, bytes]:
    return {
        str(file.relative_to(run)): file.read_bytes()
        for file in sorted(run.rglob("*"))
        if file.is_file() and file.name != ".lock"
    }


def uses(run: Path) -> list[tuple[str, ...]]:
    """Every command that reads a run's config and checkpoint."""
    return [
        ("evaluate", str(run), "accelerator=cpu"),
        ("sample", str(run), "accelerator=cpu"),
        ("train", f"resume={run}", "trainer.max_steps=3"),
    ]


def refused(run: Path, message: str) -> None:
    """Each command says so, exits 2, and leaves the run as it was."""
    before = state(run)
    for arguments in uses(run):
        said = ganvas(*arguments)
        assert message in said.message.splitlines(), (arguments, said.err)
        assert (said.code, said.out) == (2, ""), arguments
        assert state(run) == before


# A config that names code


@pytest.mark.parametrize(
    ("path", "place"),
    [
        ("os.mkdir", ("loss", "beta")),
        ("os.mkdir", ("network", "encoder", "activation")),
        ("os.mkdir", ("network", "extra")),
        ("os.mkdir", ("callbacks", "mine")),
        ("os.mkdir", ("dataset", "source")),
        ("os.mkdir", ("logger",)),
        ("os.mkdir", ("model",)),
        ("ganvas.cli.main.main", ("penalty",)),
    ],
)
def test_a_recorded_config_may_name_no_more_than_a_typed_one(
    vae_copy: Path, tmp_path: Path, path: str, place: tuple[str, ...]
) -> None:
    canary = tmp_path / "canary"

    def hide(config: dict[str, Any]) -> None:
        node = config
        for key in place[:-1]:
            node = node.setdefault(key, {})
        node[place[-1]] = {"_target_": path, "path": str(canary)}

    rewrite(vae_copy, hide)
    key = ".".join(place)
    before = state(vae_copy)
    for arguments in uses(vae_copy):
        said = ganvas(*arguments)
        assert (said.code, said.out) == (2, "")
        assert f"`{path}` may not be used" in said.message or "takes no penalty" in said.message
        assert key in said.message
    with pytest.raises(ConfigError):
        library.load_run(vae_copy).load_model()
    assert not canary.exists()
    assert state(vae_copy) == before


def test_trust_in_a_recorded_config_is_not_heard(
    vae_copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "users_evil.py").write_text(f"import os\nos.mkdir({str(tmp_path / 'canary')!r})\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)

    def hide(config: dict[str, Any]) -> None:
        config["trust"] = ["users_evil", "os"]
        config["loss"]["_target_"] = "users_evil.Loss"

    rewrite(vae_copy, hide)
    message = (
        "loss._target_: `users_evil.Loss` is of no trusted module; where it is your own code, "
        "add trust=[users_evil] (or set GANVAS_TRUST=users_evil)"
    )
    before = state(vae_copy)
    for arguments in uses(vae_copy):
        said = ganvas(*arguments)
        assert message in said.message.splitlines()
        assert said.code == 2
    with pytest.raises(ConfigError, match="is of no trusted module"):
        library.load_run(vae_copy).load_model()
    assert not (tmp_path / "canary").exists()
    assert state(vae_copy) == before


def test_an_interpolation_in_a_recorded_config_stays_text(vae_copy: Path, tmp_path: Path) -> None:
    """OmegaConf's `oc.decode` would turn this text into a node after the check."""
    hidden = "${oc.decode:'{_target_: os.mkdir, path: " + str(tmp_path / "canary") + "}'}"
    rewrite(vae_copy, lambda config: config["network"]["encoder"].update(activation=hidden))
    for arguments in uses(vae_copy):
        assert ganvas(*arguments).code != 0
    assert not (tmp_path / "canary").exists()


def test_yaml_tags_make_no_objects(vae_copy: Path, tmp_path: Path) -> None:
    file = vae_copy / "config.yaml"
    text = f"notes: !!python/object/apply:os.mkdir [{tmp_path / 'canary'}]\n"
    file.write_text(text + file.read_text().replace("notes:", "note:"))
    refused(vae_copy, f"{file} can't be read (ConstructorError); restore it")
    assert not (tmp_path / "canary").exists()


# Records that are damaged


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"{", "is damaged: not valid JSON (Expecting property name enclosed in double quotes"),
        (b"\xff\xfe\x00", "is damaged: not valid JSON"),
        (b"[]", "is damaged: needs the keys format_version, id and status; restore the file"),
        (b'{"format_version": 1}', "is damaged: needs the keys format_version, id and status"),
        (b'{"format_version": 99, "id": "a", "status": "finished"}', "has format_version 99"),
    ],
)
def test_a_damaged_run_json(vae_copy: Path, content: bytes, fault: str) -> None:
    (vae_copy / "run.json").write_bytes(content)
    before = state(vae_copy)
    for arguments in uses(vae_copy):
        said = ganvas(*arguments)
        assert said.message.startswith(f"{vae_copy / 'run.json'} {fault}")
        assert said.code == 2
    with pytest.raises(RunError, match=r"run\.json"):
        library.load_run(vae_copy)
    assert state(vae_copy) == before


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        ("a: [1", "can't be read (ParserError); restore it"),
        ("- 1\n", "is damaged: it holds no mapping; restore it"),
        ("", "is damaged: it holds no mapping; restore it"),
    ],
)
def test_a_damaged_config(vae_copy: Path, content: str, fault: str) -> None:
    (vae_copy / "config.yaml").write_text(content)
    refused(vae_copy, f"{vae_copy / 'config.yaml'} {fault}")


def test_a_config_that_lost_a_section(vae_copy: Path) -> None:
    rewrite(vae_copy, lambda config: config.pop("model"))
    refused(vae_copy, "`model`: a value is required")


def test_a_config_that_is_gone(vae_copy: Path) -> None:
    (vae_copy / "config.yaml").unlink()
    refused(vae_copy, f"{vae_copy / 'config.yaml'} can't be read (FileNotFoundError); restore it")


# Checkpoints


def spoil(run: Path, content: bytes) -> None:
    for file in (run / "checkpoints").glob("*.ckpt"):
        file.unlink()
        file.write_bytes(content)


def refused_checkpoint(run: Path, fault: str, on_resume: str | None = None) -> None:
    before = state(run)
    for arguments in uses(run):
        said, resumes = ganvas(*arguments), arguments[0] == "train"
        assert (on_resume if on_resume and resumes else fault) in said.message, said.err
        assert (said.code, said.out) == (2, ""), arguments
        assert len(said.message.splitlines()) == 1
    with pytest.raises(CheckpointError, match="checkpoint"):
        library.load_run(run).load_model()
    assert state(run) == before


@pytest.mark.parametrize("keep", [0, 1, 100, 5000, -1])
def test_a_truncated_checkpoint(vae_copy: Path, keep: int) -> None:
    whole = (vae_copy / "checkpoints" / "last.ckpt").read_bytes()
    spoil(vae_copy, whole[:keep])
    refused_checkpoint(
        vae_copy, "is damaged or truncated; use another one of the run's checkpoints"
    )


@pytest.mark.parametrize("garbage", [b"garbage", b"\x80\x02garbage", b"PK\x03\x04garbage"])
def test_a_checkpoint_of_garbage(vae_copy: Path, garbage: bytes) -> None:
    spoil(vae_copy, garbage)
    refused_checkpoint(vae_copy, ".ckpt ")


def test_a_checkpoint_without_weights(vae_copy: Path) -> None:
    for file in (vae_copy / "checkpoints").glob("*.ckpt"):
        file.unlink()
        torch.save({"weights": {}}, file)
    refused_checkpoint(vae_copy, "is no checkpoint of ganvas: it has no state_dict")


def test_a_checkpoint_with_code_in_it(vae_copy: Path, tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    for file in (vae_copy / "checkpoints").glob("*.ckpt"):
        content = torch.load(file, weights_only=True)
        file.unlink()
        torch.save(content | {"hparams": Payload(canary)}, file)
    refused_checkpoint(
        vae_copy,
        "holds more than tensors and plain values, so it was not opened (it could run code); "
        "use a checkpoint that ganvas wrote",
    )
    assert not canary.exists()
    torch.load(file, weights_only=False)  # the payload is a live one
    assert canary.is_dir()


def test_a_checkpoint_of_another_model(vae_copy: Path, ae_run: Path) -> None:
    spoil(vae_copy, (ae_run / "checkpoints" / "last.ckpt").read_bytes())
    before = state(vae_copy)
    for arguments in uses(vae_copy)[:2]:
        said = ganvas(*arguments)
        assert said.message.endswith(
            "is of another model: 0 weights missing, 0 unknown, 2 of another shape "
            "(first: encoder.layers.2.bias); use the config it was trained with"
        )
        assert said.code == 2
    assert state(vae_copy) == before


def test_checkpoints_that_are_missing_or_folders(vae_copy: Path) -> None:
    folder = vae_copy / "checkpoints"
    for file in folder.glob("*.ckpt"):
        file.unlink()
    none_yet = f"{vae_copy} has no checkpoint yet: it was ended before the first one was written"
    missing = f"no file {folder / 'last.ckpt'}; the run wrote no checkpoint"
    refused_checkpoint(vae_copy, missing, on_resume=none_yet)
    (folder / "last.ckpt").mkdir()
    refused_checkpoint(vae_copy, f"no file {folder / 'last.ckpt'}; the run wrote ")
    with pytest.raises(CheckpointError, match=r"^no checkpoint at "):
        read_checkpoint(folder)


def test_a_checkpoint_named_by_its_path(vae_run: Path) -> None:
    said = ganvas("sample", str(vae_run), "checkpoint=/nope.ckpt", "accelerator=cpu")
    assert said.message == (
        "checkpoint=/nope.ckpt: no file /nope.ckpt; the run wrote best.ckpt, last.ckpt"
    )
    assert said.code == 2


def test_checkpoints_are_plain(vae_run: Path, gan_run: Path) -> None:
    for run in (vae_run, gan_run):
        for name in ("best", "last"):
            file = run / "checkpoints" / f"{name}.ckpt"
            if file.exists():
                assert torch.load(file, weights_only=True)["ganvas_counters"]["step"] == 2
    assert (vae_run / "checkpoints" / "best.ckpt").exists()
    assert not (gan_run / "checkpoints" / "best.ckpt").exists()
