"""A secret is written nowhere: not by the run, its trackers, its sweep, its export, its report."""

from __future__ import annotations

import gzip
import io
import json
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from engine_helpers import ganvas, only_run

from ganvas.sweep.cells import add_cells, plan
from ganvas.sweep.manifest import Manifest
from ganvas.tracking import redact, redact_text

ENVIRONMENT = "env-s3cr3t-of-the-shell-4711"
TYPED = "typed-s3cr3t-of-the-user-0815"
CHANGED = "changed-s3cr3t-of-the-code-1234"
QUOTED = 'quoted-"s3cr3t"-with-\\-in-it'
WORD = "an-ordinary-remark-of-the-user"
SECRETS = (ENVIRONMENT, TYPED, CHANGED, QUOTED)

OWN = '''
"""A user's part that talks too much."""
import logging
import os
import warnings

from pytorch_lightning import Callback


class Uploads(Callback):
    def __init__(self, api_key: str, fails: bool = False) -> None:
        self.api_key, self.fails = api_key, fails

    def on_train_start(self, trainer, module) -> None:
        hub, quoted = os.environ["HUB_TOKEN"], os.environ["QUOTED_PASSWORD"]
        for text in (self.api_key, hub, quoted):
            logging.getLogger("ganvas.users").warning("uploads by %s", text)
            warnings.warn(f"it is {text}", stacklevel=1)
        if self.fails:
            raise ValueError(f"no upload by {self.api_key}, {hub} and {quoted!r}")
'''
BASE = (
    "dataset=digits", "trainer=cpu", "callbacks.images=null", "trainer.progress_bar=false",
    "trainer.max_steps=2", "test=false", "model=ae", "trust=[users_uploads]", f"notes={WORD}",
    "+callbacks.uploads._target_=users_uploads.Uploads", f"+callbacks.uploads.api_key={TYPED}",
)  # fmt: skip
SHOWN = (
    "logger=wandb", "logger.mode=offline", "logger.notes=${oc.env:HUB_TOKEN}",
    "tags=['${oc.env:HUB_TOKEN}']", "logger.group='of ${oc.env:HUB_TOKEN}'",
)  # fmt: skip


def parts(file: Path) -> Iterator[bytes]:
    """All bytes of a file, and of what is packed in it."""
    content = file.read_bytes()
    yield content
    if zipfile.is_zipfile(file):
        with zipfile.ZipFile(io.BytesIO(content)) as packed:
            yield from map(packed.read, packed.namelist())
    elif content[:2] == b"\x1f\x8b":
        yield gzip.decompress(content)


def leaks(folder: Path) -> dict[str, list[str]]:
    """Which files hold which secrets, also as JSON and Python write them."""
    found: dict[str, list[str]] = {}
    for file in (f for f in folder.rglob("*") if f.is_file()):
        whole = b"\0".join(parts(file))
        for secret in SECRETS:
            forms = {secret, json.dumps(secret)[1:-1], repr(secret)[1:-1]}
            if any(form.encode() in whole for form in forms):
                found.setdefault(str(file.relative_to(folder)), []).append(secret[:6])
    return found


@pytest.fixture
def user(place: Path, monkeypatch: pytest.MonkeyPatch, fresh_modules: None) -> Path:
    """A working folder: a repository with changes that hold secrets, and a part that tells them."""
    monkeypatch.setenv("HUB_TOKEN", ENVIRONMENT)
    monkeypatch.setenv("QUOTED_PASSWORD", QUOTED)
    monkeypatch.setenv("WANDB_MODE", "offline")
    (place / ".gitignore").write_text("runs\ndata\n")
    (place / "users_uploads.py").write_text(OWN)
    (place / "settings.json").write_text("{}\n")
    git = ["git", "-c", "user.name=me", "-c", "user.email=me@here"]
    for command in (["init", "-q"], ["add", "."], ["commit", "-qm", "first"]):
        subprocess.run([*git, *command], cwd=place, check=True, capture_output=True)
    lines = [f'"api_key": "{CHANGED}"', f"hub_token: str = '{CHANGED}'", f"print('{ENVIRONMENT}')"]
    lines += [f'os.environ["A_TOKEN"] = "{CHANGED}"', f"a line with {WORD}"]
    (place / "settings.json").write_text("\n".join(lines) + "\n")
    monkeypatch.syspath_prepend(place)
    return place


def train(folder: Path, monkeypatch: pytest.MonkeyPatch, *more: str) -> tuple[Path, int]:
    """As from a shell, whose command line W&B looks at."""
    arguments = ["train", *BASE, f"paths.runs_dir={folder}", *more]
    monkeypatch.setattr(sys, "argv", ["ganvas", *arguments])
    said = ganvas(*arguments)
    return only_run(folder), said.code


def test_no_secret_is_in_a_run_its_export_and_its_report(
    user: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with pytest.warns(UserWarning, match="it is"):
        run, code = train(user / "runs", monkeypatch, *SHOWN)
    assert code == 0 and leaks(run) == {}
    for name in ("config.yaml", "overrides.yaml", "run.json", "git.diff"):
        assert WORD in (run / name).read_text(), name
    assert (run / "log.txt").read_text().count("uploads by ***") == 3
    record = json.loads((run / "run.json").read_text())
    assert record["git"]["dirty"] and list((run / "wandb").rglob("*.wandb"))
    out = tmp_path / "out"
    out.mkdir()
    assert ganvas("export", str(run), str(out / "run.zip")).code == 0
    assert ganvas("report", str(user / "runs"), f"out={out / 'report.html'}").code == 0
    assert ganvas("compare", str(user / "runs"), f"out={out / 'table.csv'}").code == 0
    assert leaks(out) == {}
    assert WORD in (out / "report.html").read_text()
    with zipfile.ZipFile(out / "run.zip") as packed:
        assert WORD in packed.read("config.yaml").decode()


def test_no_secret_is_in_the_record_of_a_failure(
    user: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with pytest.warns(UserWarning, match="it is"):
        run, code = train(
            user / "runs", monkeypatch, "logger=none", "+callbacks.uploads.fails=true"
        )
    assert code == 1 and leaks(run) == {}
    record = json.loads((run / "run.json").read_text())
    assert record["reason"].startswith("ValueError: no upload by ***, ***")
    log = (run / "log.txt").read_text()
    assert "Traceback" in log and "no upload by ***" in log
    page = tmp_path / "page"
    page.mkdir()
    assert ganvas("report", str(user / "runs"), f"out={page / 'report.html'}").code == 0
    assert leaks(page) == {}


def test_no_secret_is_in_a_sweeps_files(user: Path, tmp_path: Path) -> None:
    folder = tmp_path / "sweep"
    folder.mkdir()
    typed = [*BASE, "logger=none", f"tags=['{ENVIRONMENT}']"]
    launcher = {"setup": [f"export A_TOKEN={TYPED}"], "additional": {"comment": ENVIRONMENT}}
    manifest = Manifest.create(
        folder, command=" ".join(typed), overrides=typed, launcher=launcher, trust=["users_uploads"]
    )
    _, configs = add_cells(manifest, plan([[*typed, "seed=1"], [*typed, "seed=2"]], data=False))
    manifest.save()
    assert leaks(folder) == {}
    assert WORD in (folder / "sweep.json").read_text()
    kept = configs[0][0]  # the job itself gets what was typed
    assert (kept["callbacks"]["uploads"]["api_key"], kept["tags"]) == (TYPED, [ENVIRONMENT])


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ('{"api_key": "abc def"}', '{"api_key": ***}'),
        ("{'hubToken': 'abc'}", "{'hubToken': ***}"),
        ("api_key: str = 'abc'", "api_key: str = ***"),
        ('os.environ["A_TOKEN"] = "abc"', 'os.environ["A_TOKEN"] = ***'),
        ("-password = abc\n+password = def", "-password = ***\n+password = ***"),
        ("the tokens: 5, a token of it", "the tokens: 5, a token of it"),
        ("tokenizer = 'abc'", "tokenizer = 'abc'"),
    ],
)
def test_secrets_of_code_and_of_json(text: str, clean: str) -> None:
    assert redact_text(text) == clean


def test_what_stands_under_a_secret_key_is_hidden_elsewhere_too() -> None:
    """A config has one hash, whether its secret was met before or not."""
    config = {"hub": {"api_key": "never-met-before-99"}, "url": "me:never-met-before-99@host"}
    assert redact(config) == {"hub": {"api_key": "***"}, "url": "me:***@host"}
    assert redact_text("never-met-before-99") == "never-met-before-99"
    assert redact({"token": 17, "mask_token": "[MASK]", "x": "[MASK]"})["x"] == "[MASK]"
