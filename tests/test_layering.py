"""The folder map, enforced: who imports whom, what stays light, how long code may be."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

SRC = Path(__file__).parents[1] / "src"
FILES = sorted(SRC.rglob("*.py"))

# Top to bottom. A file imports from strictly lower layers and from its own sub-package.
LAYERS = (
    ("cli", "hydra_plugins"),
    ("sweep", "proof"),
    ("engine", "report"),
    ("latent",),
    ("evaluation",),
    ("models", "data", "callbacks", "tracking"),
    ("metrics",),
    ("nn", "losses"),
    ("schedules", "pictures"),
    ("protocols", "paths"),
    ("types", "errors"),
)
DEPTH = {group: depth for depth, groups in enumerate(LAYERS) for group in groups}
# The package's own two files stand above the map: they open the door to these and nothing else.
DOORS = {"ganvas": {"engine", "errors", "report", "types"}, "ganvas.__main__": {"cli"}}

HEAVY = {
    "lightning", "numpy", "optuna", "pandas", "plotly", "pytorch_lightning", "scipy", "sklearn",
    "submitit", "torch", "torchmetrics", "torchvision", "wandb",
}  # fmt: skip

MAX_FUNCTION_LINES = 40  # docstring not counted
MAX_FILE_LINES = 300
# Exceptions to the two limits: "folder/file.py" or "folder/file.py:function" to the reason.
LONG: dict[str, str] = {}


def module_name(path: Path) -> str:
    parts = path.relative_to(SRC).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def group_of(module: str) -> str:
    """The place of a module on the map: "nn" for `ganvas.nn.mlp`, "" for `ganvas` itself."""
    top, *rest = module.split(".")
    if top != "ganvas":
        return top
    return rest[0] if rest else ""


def imported_modules(
    source: str, module: str, *, is_package: bool, module_level: bool = False
) -> Iterator[str]:
    """Absolute names of all that `source` imports, or of what runs on importing it."""
    package = module if is_package else module.rpartition(".")[0]
    tree = ast.parse(source)
    for node in _nodes_run_on_import(tree) if module_level else ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*above, *filter(None, [base])])
            if base == "ganvas":  # `from ganvas import nn` is about the sub-package
                yield from (f"ganvas.{alias.name}" for alias in node.names)
            else:
                yield base


def _nodes_run_on_import(node: ast.AST) -> Iterator[ast.AST]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            for other in child.orelse:
                yield other
                yield from _nodes_run_on_import(other)
            continue
        yield child
        yield from _nodes_run_on_import(child)


def violations(source: str, module: str, *, is_package: bool = False) -> list[str]:
    """One line for each import that goes up or sideways."""
    own = group_of(module)
    if module not in DOORS and own not in DEPTH:
        return [f"{module}: {own!r} is not on the map; give it a layer in {Path(__file__).name}"]
    found = []
    for target in imported_modules(source, module, is_package=is_package):
        if target.split(".")[0] not in ("ganvas", "hydra_plugins"):
            continue
        other = group_of(target)
        if other.startswith("__") or (other == own and own):
            continue  # `ganvas.__version__`, or a neighbour in the same sub-package
        if module in DOORS:
            allowed = other in DOORS[module]
        else:
            allowed = other in DEPTH and DEPTH[other] > DEPTH[own]
        if not allowed:
            found.append(f"{module} imports {target}")
    return found


@pytest.mark.parametrize("path", FILES, ids=module_name)
def test_imports_go_down(path: Path) -> None:
    source = path.read_text(encoding="utf-8")
    assert violations(source, module_name(path), is_package=path.name == "__init__.py") == []


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("ganvas.nn.mlp", "from ganvas.losses import mse"),
        ("ganvas.losses.elbo", "import ganvas.nn.mlp"),
        ("ganvas.losses.elbo", "from ganvas import nn"),
        ("ganvas.losses.elbo", "from ..nn import mlp"),
        ("ganvas.losses.elbo", "def f():\n    from ganvas.models.vae import base"),
        ("ganvas.nn.mlp", "if TYPE_CHECKING:\n    from ganvas.engine.train import train"),
        ("ganvas.types", "from ganvas.errors import ConfigError"),
        ("ganvas.models.vae.base", "from ganvas.data.store import Store"),
        ("ganvas.engine.train", "from ganvas.cli.main import main"),
        ("ganvas.engine.train", "import ganvas"),
        ("ganvas.engine.train", "from ganvas import load_run"),
        ("ganvas.cli.main", "import hydra_plugins.ganvas_launcher"),
        ("ganvas", "from ganvas.models import vae"),
        ("ganvas.utils.misc", "import json"),
    ],
)
def test_a_wrong_import_is_seen(module: str, source: str) -> None:
    assert len(violations(source, module)) == 1


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("ganvas.cli.main", "from ganvas.engine.train import train\nfrom ganvas import errors"),
        (
            "ganvas.engine.train",
            "from ganvas import __version__\nfrom ganvas.paths import config_dir",
        ),
        ("ganvas.models.vae.base", "from ganvas.models.base import Base\nfrom ..base import Base"),
        ("ganvas.nn.mlp", "from torch import nn\nfrom ganvas.types import Batch"),
        ("ganvas.__main__", "from ganvas.cli.main import main"),
        ("ganvas", "def __getattr__(name):\n    from ganvas.engine import api"),
    ],
)
def test_a_right_import_is_left_alone(module: str, source: str) -> None:
    assert violations(source, module) == []


def test_relative_imports_of_a_package_start_at_itself() -> None:
    assert list(imported_modules("from . import a", "ganvas.nn", is_package=True)) == ["ganvas.nn"]
    assert list(imported_modules("from .a import b", "ganvas.nn.mlp", is_package=False)) == [
        "ganvas.nn.a"
    ]


def heavy_imports(source: str, module: str) -> list[str]:
    names = imported_modules(source, module, is_package=False, module_level=True)
    return [n for n in names if n.split(".")[0] in HEAVY or n.startswith("ganvas.engine")]


def test_plugins_are_light() -> None:
    """Hydra imports every plugin at start, so they pay for torch only when they run a job."""
    for path in (p for p in FILES if "hydra_plugins" in p.parts):
        assert heavy_imports(path.read_text(encoding="utf-8"), module_name(path)) == [], path


def test_a_heavy_import_is_seen() -> None:
    assert heavy_imports("try:\n    import torch.nn\nexcept ImportError:\n    pass", "a.b") == [
        "torch.nn"
    ]
    late = "def f():\n    import torch\nif TYPE_CHECKING:\n    import torch"
    assert heavy_imports(late, "a.b") == []


@pytest.mark.parametrize("module", ["ganvas", "ganvas.cli.main"])
def test_import_is_light(module: str) -> None:
    code = f"import sys, {module}; print(*sorted({HEAVY!r} & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONPATH": str(SRC)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == []


def functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def code_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines from `def` to the end, without the docstring."""
    lines = (function.end_lineno or function.lineno) - function.lineno + 1
    if ast.get_docstring(function, clean=False) is None:
        return lines
    text = function.body[0]
    return lines - ((text.end_lineno or text.lineno) - text.lineno + 1)


def too_long(source: str, where: str) -> list[str]:
    found = [
        f"{where}:{function.name}"
        for function in functions(ast.parse(source))
        if code_lines(function) > MAX_FUNCTION_LINES
    ]
    return found + [where] * (len(source.splitlines()) > MAX_FILE_LINES)


def test_functions_and_files_are_short() -> None:
    found = [
        name
        for path in FILES
        for name in too_long(path.read_text(encoding="utf-8"), path.relative_to(SRC).as_posix())
    ]
    assert sorted(set(found) - LONG.keys()) == []
    assert sorted(LONG.keys() - set(found)) == [], "no longer long: remove from LONG"


def test_length_is_measured() -> None:
    body = "    x = 1\n"
    docstring = '    """One.\n\n    Two.\n    """\n'
    assert too_long("def f():\n" + docstring + body * 39, "a.py") == []
    assert too_long("def f():\n" + docstring + body * 40, "a.py") == ["a.py:f"]
    assert too_long("x = 1\n" * 300, "a.py") == []
    assert too_long("x = 1\n" * 301, "a.py") == ["a.py"]


def test_no_hasattr() -> None:
    """What an object can do is said by a protocol (`isinstance(model, Samples)`), never probed."""
    found = [
        f"{path.relative_to(SRC)}:{node.lineno}"
        for path in FILES
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Name) and node.id == "hasattr"
    ]
    assert found == []
