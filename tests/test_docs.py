"""Every `ganvas train …` that README.md and docs/ show composes; every link leads somewhere."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = [p for p in (ROOT / "README.md", ROOT / "CONTRIBUTING.md") if p.exists()]
PAGES += sorted((ROOT / "docs").glob("**/*.md"))
# What a reader replaces, or what needs a run that is not there.
PLACEHOLDER = re.compile(r"\bRUN\b|\bPATH\b|\.\.\.|…|<\w+>|\bresume=|\binit_from=")


def bash_lines(text: str) -> Iterator[str]:
    """Lines of the fenced bash blocks, continuation lines joined."""
    for block in re.findall(r"^```(?:bash|sh|console)\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        yield from (line.strip() for line in block.replace("\\\n", " ").splitlines())


def train_commands(text: str) -> Iterator[list[str]]:
    """The arguments of each `ganvas train` line, up to a comment, pipe or redirection."""
    for line in bash_lines(text):
        match = re.match(r"(?:\$ )?(?:\.venv/bin/)?ganvas (train\b.*)", line)
        if not match or PLACEHOLDER.search(line.split(" #")[0]):
            continue
        words = shlex.split(match[1], comments=True)
        end = next((i for i, word in enumerate(words) if re.match(r"[|>&;]|2>", word)), len(words))
        yield words[:end]


COMMANDS = sorted({tuple(c) for p in PAGES for c in train_commands(p.read_text(encoding="utf-8"))})


def test_readme_shows_commands() -> None:
    assert list(train_commands((ROOT / "README.md").read_text(encoding="utf-8")))


@pytest.mark.parametrize("command", COMMANDS, ids=shlex.join)
def test_command_composes(command: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    from ganvas.cli.main import main

    monkeypatch.chdir(ROOT)  # as a reader would
    assert main([*command, "check=true"]) == 0


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page: Path) -> None:
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    targets = re.findall(r"\]\(([^)#\s]+)", text)
    missing = [t for t in targets if "://" not in t and not (page.parent / t).exists()]
    assert missing == []


def test_commands_are_found() -> None:
    text = (
        "ganvas train not=fenced\n```bash\nganvas train model=vae \\\n  'loss.beta=4'  # β-VAE\n"
        "ganvas train resume=RUN\nganvas list models\nganvas train -m seed=0,1 > log\n```\n"
        "```python\nganvas train no=bash\n```\n"
    )
    assert list(train_commands(text)) == [
        ["train", "model=vae", "loss.beta=4"],
        ["train", "-m", "seed=0,1"],
    ]


@pytest.mark.parametrize("name", ["methods", "gans"])
def test_the_tables_of_methods_are_the_recorded_results(name: str) -> None:
    study = ROOT / "experiments" / name / "run.py"
    done = subprocess.run([sys.executable, str(study), "--check"], cwd=ROOT, check=False)
    assert done.returncode == 0, f"write them with: python {study.relative_to(ROOT)} --write"
