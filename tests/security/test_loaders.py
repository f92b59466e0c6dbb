"""No line of the source unpickles, evaluates or calls a shell, but those judged here."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

SRC = Path(__file__).parents[2] / "src"

LOADS = {
    "torch.load", "torch.jit.load", "torch.hub.load", "torch.package.PackageImporter", "np.load",
    "np.lib.format.read_array", "torch.hub.load_state_dict_from_url", "np.fromfile",
    "pickle.load", "pickle.loads", "pickle.Unpickler", "cloudpickle.load", "cloudpickle.loads",
    "dill.load", "joblib.load", "shelve.open", "marshal.loads", "marshal.load", "pd.read_pickle",
    "yaml.load", "yaml.load_all", "yaml.unsafe_load", "yaml.full_load", "eval", "exec", "compile",
    "__import__", "os.system", "os.popen", "os.execv", "os.execvp", "os.spawnv", "runpy.run_path",
    "runpy.run_module", "subprocess.run", "subprocess.Popen", "subprocess.call",
    "subprocess.check_call", "subprocess.check_output", "subprocess.getoutput",
    "shutil.unpack_archive", "importlib.import_module", "OmegaConf.load",
    "hydra.utils.instantiate",
}  # fmt: skip

JUDGED = {
    "importlib.import_module": {"engine/targets.py"},  # of what the check of targets lets through
    "eval": {"engine/signatures.py"},  # annotations of classes that are imported already
    "subprocess.run": {  # git and python, each argument on its own, no shell
        "tracking/provenance.py",
        "proof/checkout.py",
    },
    "subprocess.Popen": {  # python and wandb, likewise
        "engine/ranks.py",
        "tracking/syncing.py",
        "proof/checkout.py",
    },
    "OmegaConf.load": {"engine/portable.py"},  # of our own conf/
    "yaml.load": {"report/collect.py"},  # with the safe loader, in C where there is one
}


def calls(text: str) -> Iterator[tuple[str, ast.Call]]:
    """The calls in a source, by the dotted name that is called."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), node


def told(call: ast.Call, name: str) -> object:
    """The constant that a keyword of a call is given."""
    given = {k.arg: k.value for k in call.keywords}.get(name)
    return given.value if isinstance(given, ast.Constant) else None


def fault(name: str, call: ast.Call, file: str) -> bool:
    """Whether a call is of those that must be judged and was not."""
    if told(call, "shell"):
        return True
    if name == "torch.load":
        return told(call, "weights_only") is not True
    if name in ("np.load", "np.lib.format.read_array"):
        return told(call, "allow_pickle") is not False
    return name in LOADS and not any(file.endswith(f"ganvas/{f}") for f in JUDGED.get(name, ()))


def faults(text: str, file: str) -> list[str]:
    return [f"{file}:{call.lineno} {name}" for name, call in calls(text) if fault(name, call, file)]


def test_every_loader_is_a_safe_one() -> None:
    files = sorted(SRC.rglob("*.py"))
    assert len(files) > 100
    found = [line for f in files for line in faults(f.read_text("utf-8"), f.as_posix())]
    assert found == []


def test_what_is_judged_is_still_there() -> None:
    for name, places in JUDGED.items():
        for place in places:
            text = (SRC / "ganvas" / place).read_text("utf-8")
            assert any(called.endswith(name) for called, _ in calls(text)), (name, place)


def test_no_name_hides_a_loader() -> None:
    """`from torch import load` would escape the walk above."""
    modules = {name.rpartition(".")[0] for name in LOADS if "." in name} | {"numpy"}
    modules = (modules | {"_pickle", "torch.serialization", "os"}) - {"OmegaConf", "importlib"}
    last = {name.rpartition(".")[2] for name in LOADS} - {"compile"}
    for file in SRC.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module in modules:
                assert not last & {alias.name for alias in node.names}, (file, node.lineno)


@pytest.mark.parametrize(
    "planted",
    [
        "torch.load(f)", "torch.load(f, weights_only=False)", "np.load(f)", "pickle.loads(b)",
        "np.load(f, mmap_mode='c')", "np.load(f, allow_pickle=True)", "yaml.unsafe_load(t)",
        "yaml.load(t, Loader=yaml.Loader)", "eval(t)", "os.system(t)", "joblib.load(f)",
        "subprocess.run(t, shell=True)", "anything(t, shell=True)", "__import__(t)",
        "x = [torch.load(g, weights_only=safe) for g in f]", "torch.jit.load(f)",
    ],
)  # fmt: skip
def test_the_walk_finds_what_is_planted(planted: str) -> None:
    assert faults(f"def f():\n    {planted}\n", "src/ganvas/planted.py")
