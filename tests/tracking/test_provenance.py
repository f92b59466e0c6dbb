from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from ganvas.tracking import config_hash, redact, redact_text
from ganvas.tracking.provenance import git_state, hardware, package_versions
from ganvas.tracking.redact import secret_key


@pytest.mark.parametrize(
    "key", ["api_key", "WANDB_API_KEY", "hubToken", "auth-token", "db.password", "client_secret"]
)
def test_secret_keys(key: str) -> None:
    assert secret_key(key)
    assert redact({key: "value"}) == {key: "***"}


@pytest.mark.parametrize("key", ["num_tokens", "tokenizer", "key", "keyboard", "secretary", "lr"])
def test_ordinary_keys(key: str) -> None:
    assert secret_key(key) is None
    assert redact({key: "value"}) == {key: "value"}


def test_redaction_of_nested_values(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_API_KEY", "0123456789abcdef")
    monkeypatch.setenv("SHORT_TOKEN", "vae")
    config = {
        "a": [{"url": "https://u:0123456789abcdef@host/x"}, 0.5, None],
        "model": "vae",
        "mask_token": 7,
        "password": None,
        "secret": {"a": 1},
    }
    assert redact(config) == {
        "a": [{"url": "https://u:***@host/x"}, 0.5, None],
        "model": "vae",
        "mask_token": 7,
        "password": None,
        "secret": "***",
    }


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("ganvas train +logger.api_key=abc seed=1", "ganvas train +logger.api_key=*** seed=1"),
        ("hub_token='a b' x=1", "hub_token=*** x=1"),
        ("model.num_tokens=7 loss.beta=4", "model.num_tokens=7 loss.beta=4"),
    ],
)
def test_redaction_of_text(text: str, clean: str) -> None:
    assert redact_text(text) == clean


def test_config_hash_ignores_where_and_how_it_is_shown() -> None:
    def config(folder: str, beta: float, logger: str) -> dict[str, object]:
        return {
            "loss": {"beta": beta},
            "paths": {"data_dir": folder, "runs_dir": "/runs"},
            "dataset": {"root": f"{folder}/mnist"},
            "logger": {"name": logger},
        }

    one = config_hash(config("/a", 4.0, "wandb"))
    assert one == config_hash(config("/b/c", 4.0, "none"))
    assert one != config_hash(config("/a", 4.5, "wandb"))
    assert one != config_hash({**config("/a", 4.0, "wandb"), "dataset": {"root": "/a/svhn"}})


def test_git_state(tmp_path: Path) -> None:
    repository, run = tmp_path / "code", tmp_path / "run"
    repository.mkdir()
    run.mkdir()

    def git(*arguments: str) -> str:
        who = ["-c", "user.name=n", "-c", "user.email=e@example.org"]
        command = ["git", *who, *arguments]
        done = subprocess.run(command, cwd=repository, check=True, capture_output=True, text=True)
        return done.stdout.strip()

    assert git_state(run, cwd=repository) is None
    git("init", "-q")
    assert git_state(run, cwd=repository) is None
    (repository / "a.py").write_text("x = 1\n")
    git("add", ".")
    git("commit", "-qm", "one")
    clean = {"sha": git("rev-parse", "HEAD"), "dirty": False, "untracked": 0, "diff": None}
    assert git_state(run, cwd=repository) == clean
    assert not (run / "git.diff").exists()
    (repository / "a.py").write_text("x = 2\n")
    (repository / "b.py").write_text("")
    state = git_state(run, cwd=repository)
    assert state == {**clean, "dirty": True, "untracked": 1, "diff": "git.diff"}
    assert "+x = 2" in (run / "git.diff").read_text()
    (run / "git.diff").unlink()
    (repository / "a.py").write_text("x" * 1_100_000)
    large = git_state(run, cwd=repository)
    assert large is not None and large["dirty"] and large["diff"] is None
    assert not (run / "git.diff").exists()


def test_git_absent_is_no_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert git_state(tmp_path, cwd=tmp_path) is None


def test_machine_and_packages() -> None:
    found = hardware()
    assert found["cores"] >= 1 and found["memory_bytes"] > 1 << 28 and found["cpu"]
    assert package_versions()["hydra-core"]
