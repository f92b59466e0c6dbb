"""The wheel, built and installed elsewhere, carries its configs and trains."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def run(*command: str | Path, cwd: Path, **variables: str) -> str:
    done = subprocess.run(
        list(map(str, command)),
        cwd=cwd,
        env=os.environ | variables,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("dist")
    build = ("-m", "build", "--wheel", "--no-isolation", "--outdir", out, ROOT)
    run(sys.executable, *build, cwd=out)
    (path,) = out.glob("ganvas-*.whl")
    return path


@pytest.fixture(scope="module")
def site(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the installed wheel; its dependencies come from the environment."""
    target = tmp_path_factory.mktemp("site")
    options = ("--quiet", "--disable-pip-version-check", "--no-deps", "--no-index")
    run(sys.executable, "-m", "pip", "install", *options, "--target", target, wheel, cwd=target)
    return target


def test_wheel_holds_every_config_and_the_typing_mark(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    configs = {p.relative_to(ROOT / "conf").as_posix() for p in (ROOT / "conf").rglob("*.yaml")}
    assert configs
    assert {f"ganvas/conf/{name}" for name in configs} <= names
    assert "ganvas/py.typed" in names
    shipped = {f"ganvas/weights/{name}" for name in ("digits", "mnist")}
    assert {f"{name}.{kind}" for name in shipped for kind in ("json", "safetensors")} <= names
    page = {path.name for path in (ROOT / "src" / "ganvas" / "report" / "page").iterdir()}
    assert "page.html" in page and {f"ganvas/report/page/{name}" for name in page} <= names
    assert any(name.endswith("licenses/LICENSE") for name in names)


def test_wheel_holds_nothing_but_the_package(wheel: Path) -> None:
    tops = {name.split("/")[0] for name in zipfile.ZipFile(wheel).namelist()}
    assert {t for t in tops if not t.endswith(".dist-info")} <= {"ganvas", "hydra_plugins"}


def test_checkout_reads_its_own_configs() -> None:
    """An editable install copies conf/ into site-packages, where it goes stale: it isn't read."""
    from ganvas.paths import config_dir

    assert config_dir() == ROOT / "conf"


def test_installed_wheel_trains_a_sweep_and_reports_it(site: Path, tmp_path: Path) -> None:
    code = "import ganvas, ganvas.paths as p; print(ganvas.__file__); print(p.config_dir())"
    package, conf = run(sys.executable, "-c", code, cwd=tmp_path, PYTHONPATH=str(site)).split()
    assert Path(package).is_relative_to(site)
    assert Path(conf) == site / "ganvas" / "conf"

    overrides = ("model=vae", "dataset=digits", "trainer=cpu", "trainer.max_steps=3", "logger=none")
    command = (
        sys.executable,
        "-m",
        "ganvas",
        "train",
        "-m",
        "seed=0,1",
        *overrides,
        f"paths.runs_dir={tmp_path}/runs",
    )
    run(*command, cwd=tmp_path, PYTHONPATH=str(site))
    records = sorted((tmp_path / "runs").rglob("run.json"))
    stored = [json.loads(record.read_text(encoding="utf-8")) for record in records]
    assert sorted((r["seed"], r["status"]) for r in stored) == [(0, "finished"), (1, "finished")]
    (page,) = (tmp_path / "runs").rglob("report.html")
    assert "plotly" in page.read_text(encoding="utf-8")
