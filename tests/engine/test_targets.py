"""What a `_target_` may name: seen as messages, and as canaries that stay unhatched."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from engine_helpers import ganvas, train

from ganvas.engine.build import instantiate
from ganvas.engine.targets import check_arguments, check_node, locate, trusted_modules
from ganvas.errors import ConfigError

NOT_ALLOWED = (
    "may not be used as a _target_: it must be a class of a network, optimizer, callback, logger, "
    "metric or data set, or defined in a trusted module"
)
NO_PATH = "is not the dotted path of a public class"

REFUSED = {
    "builtins.open": NOT_ALLOWED,
    "builtins.eval": NOT_ALLOWED,
    "os.system": NOT_ALLOWED,
    "os.path.join": NOT_ALLOWED,
    "subprocess.Popen": NOT_ALLOWED,
    "subprocess.run": NOT_ALLOWED,
    "socket.socket": NOT_ALLOWED,
    "importlib.import_module": NOT_ALLOWED,
    "functools.partial": NOT_ALLOWED,
    "pathlib.Path": NOT_ALLOWED,
    "torch.utils.collect_env.run": NOT_ALLOWED,
    "torch.load": NOT_ALLOWED,
    "torch.save": NOT_ALLOWED,
    "torch.hub.load": NOT_ALLOWED,
    "torch.nn.modules": NOT_ALLOWED,
    "torch.nn.functional.relu": NOT_ALLOWED,
    "torch.Tensor": NOT_ALLOWED,
    "torch.utils.data.DataLoader": NOT_ALLOWED,
    "torch.serialization.os.system": NOT_ALLOWED,
    "torch.utils.collect_env.subprocess.Popen": NOT_ALLOWED,
    "pytorch_lightning.Trainer": NOT_ALLOWED,
    "pytorch_lightning.loggers.CSVLogger": NOT_ALLOWED,
    "pytorch_lightning.trainer.trainer.os.getcwd": NOT_ALLOWED,
    "torchvision.datasets.utils.download_url": NOT_ALLOWED,
    "ganvas.nn.dense.math": NOT_ALLOWED,
    "ganvas.nn.dense.math.prod": NOT_ALLOWED,
    "ganvas.nn.dense.mlp": NOT_ALLOWED,
    "ganvas.tracking.files.write_atomic": NOT_ALLOWED,
    "ganvas.cli.main.main": NOT_ALLOWED,
    "ganvas.engine.train.train_checked": NOT_ALLOWED,
    "ganvas.engine.build.Checked": NOT_ALLOWED,
    "ganvas.engine.targets.importlib.import_module": NOT_ALLOWED,
    "ganvas.engine.runs.Run": NOT_ALLOWED,
    "torch.nn.Module.__init__": NO_PATH,
    "torch.nn.__builtins__": NO_PATH,
    "torch._C.Generator": NO_PATH,
    "ganvas.__main__.main": NO_PATH,
    "torch.nn.": NO_PATH,
    "torch nn": "is of no trusted module",
    "hydra.utils.get_method": "is of no trusted module",
    "numpy.load": "is of no trusted module",
    "users_own.Network": "is of no trusted module",
    "${oc.env:HOME}": "is of no trusted module",
    "torch.nn.Linaer": "does not exist; did you mean `Linear`?",
    "torch.nn.modules.os.system": "does not exist",
    "ganvas.nn.dense.DenseEncodr": "does not exist; did you mean `DenseEncoder`?",
}

ALLOWED = (
    "torch.nn.Linear",
    "torch.optim.Adam",
    "torch.optim.lr_scheduler.StepLR",
    "torchvision.datasets.MNIST",
    "torchmetrics.MeanMetric",
    "pytorch_lightning.callbacks.Timer",
    "ganvas.nn.dense.DenseEncoder",
    "ganvas.losses.elbo.ElboLoss",
    "ganvas.schedules.LinearSchedule",
    "ganvas.data.sources.Digits",
    "ganvas.data.sources.mnist",
    "ganvas.tracking.NullTracker",
)


@pytest.mark.parametrize(("path", "fault"), REFUSED.items())
def test_what_a_target_may_not_name(path: str, fault: str) -> None:
    with pytest.raises(ConfigError) as refusal:
        locate(path, key="loss._target_", trust=())
    assert str(refusal.value).startswith(f"loss._target_: `{path}` {fault}")


@pytest.mark.parametrize("path", ALLOWED)
def test_what_a_target_may_name(path: str) -> None:
    assert locate(path, key="x", trust=()).__name__ == path.rsplit(".", 1)[-1]


def test_a_name_outside_the_trusted_says_how_to_trust_it() -> None:
    with pytest.raises(ConfigError) as refusal:
        locate("users_own.parts.Network", key="network._target_", trust=())
    assert str(refusal.value) == (
        "network._target_: `users_own.parts.Network` is of no trusted module; where it is your "
        "own code, add trust=[users_own] (or set GANVAS_TRUST=users_own)"
    )


EVIL = {"_target_": "builtins.open", "file": "canary", "mode": "w"}


@pytest.mark.parametrize(
    ("node", "key"),
    [
        (EVIL, "x"),
        ({"a": {"b": EVIL}}, "x.a.b"),
        ({"a": [1, [EVIL]]}, "x.a.1.0"),
        ({**EVIL, "_partial_": True}, "x"),
        ({"_target_": "torch.nn.ReLU", "inplace": EVIL}, "x.inplace"),
        ({"_target_": "torch.nn.Sequential", "_args_": [EVIL]}, "x._args_.0"),
        ({"_target_": "torch.nn.ReLU", "_recursive_": False, "inplace": EVIL}, "x.inplace"),
    ],
)
def test_a_refused_target_is_found_wherever_it_hides(node: object, key: str) -> None:
    with pytest.raises(ConfigError) as refusal:
        check_node(node, key="x", trust=())
    assert f"{key}._target_: `builtins.open` {NOT_ALLOWED}" in str(refusal.value).splitlines()


def test_every_fault_of_a_node_is_named() -> None:
    node = {"a": EVIL, "b": {"_target_": "torch.nn.ReLU", "inplac": True}}
    with pytest.raises(ConfigError) as refusal:
        check_node(node, key="x", trust=())
    assert str(refusal.value).splitlines() == [
        f"x.a._target_: `builtins.open` {NOT_ALLOWED}",
        "`x.b.inplac`: no such key; did you mean `inplace`?",
    ]


@pytest.mark.parametrize(
    ("node", "fault"),
    [
        ({"_target_": "torch.nn.Linear", "_args_": [1, 2]}, "`x._args_`: give arguments by name"),
        ({"_target_": "torch.nn.Linear", "in_features": 3}, "`x.out_features`: a value is"),
        ({"_target_": 3}, "x._target_: must be the dotted path of a class, got 3"),
        ({"_target_": {"_target_": "os.system"}}, "x._target_: must be the dotted path of a class"),
    ],
)
def test_nodes_that_are_not_well_formed(node: object, fault: str) -> None:
    with pytest.raises(ConfigError, match=f"^{fault}"):
        check_node(node, key="x", trust=())


def test_a_built_node_is_what_its_target_makes_of_its_arguments() -> None:
    import torch

    node = {
        "_target_": "torch.optim.Adam",
        "_partial_": True,
        "lr": 0.25,
        "betas": [0.5, 0.75],
    }
    optimizer = instantiate({"a": [node]})["a"][0]([torch.nn.Parameter(torch.zeros(1))])
    assert isinstance(optimizer, torch.optim.Adam)
    assert (optimizer.defaults["lr"], optimizer.defaults["betas"]) == (0.25, (0.5, 0.75))


def test_building_resolves_no_interpolation(monkeypatch: pytest.MonkeyPatch) -> None:
    """An interpolation could make a `_target_` that no check has seen."""
    monkeypatch.setenv("USERS_SECRET", "seen")
    text = "${oc.env:USERS_SECRET}"
    node = {"_target_": "ganvas.schedules.ConstantSchedule", "value": text}
    assert instantiate(node).value == text


def test_building_leaves_errors_as_they_are() -> None:
    with pytest.raises(
        ValueError, match=r"^LinearSchedule: steps must be at least 1 batch, got 0$"
    ):
        instantiate(
            {"_target_": "ganvas.schedules.LinearSchedule", "start": 0, "end": 1, "steps": 0}
        )


def test_trusted_modules_come_from_the_caller_and_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("GANVAS_TRUST", "second, third,first")
    assert trusted_modules(["first"]) == ("first", "second", "third")
    monkeypatch.delenv("GANVAS_TRUST")
    assert trusted_modules([]) == ()


@pytest.mark.usefixtures("fresh_modules")
def test_trust_covers_what_a_module_defines_and_not_what_it_imports(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "users_tools.py").write_text(
        "from os import system\nimport os\n\n\ndef tool():\n    return 3\n"
    )
    (tmp_path / "users_tools_other.py").write_text("def tool():\n    return 4\n")
    monkeypatch.chdir(tmp_path)
    trust = ["users_tools"]
    assert locate("users_tools.tool", key="x", trust=trust)() == 3
    for path in ("users_tools.system", "users_tools.os.system", "users_tools.os"):
        with pytest.raises(ConfigError, match="may not be used"):
            locate(path, key="x", trust=trust)
    with pytest.raises(ConfigError, match="is of no trusted module"):
        locate("users_tools_other.tool", key="x", trust=trust)
    with pytest.raises(ConfigError, match="does not exist; did you mean `tool`"):
        locate("users_tools.tol", key="x", trust=trust)
    with pytest.raises(ConfigError, match="no module named `users_tols`"):
        locate("users_tols.tool", key="x", trust=["users_tols"])


HATCH = "{_target_:os.mkdir,path:canary}"


@pytest.mark.parametrize(
    ("override", "key"),
    [
        ("loss._target_=os.mkdir", "loss"),
        (f"loss.beta={HATCH}", "loss.beta"),
        (f"+network.encoder.activation={HATCH}", "network.encoder.activation"),
        ("optimizer._target_=os.mkdir", "optimizer"),
        ("dataset.source._target_=os.mkdir", "dataset.source"),
        (f"+dataset.source.root={HATCH}", "dataset.source.root"),
        (f"+callbacks.mine={HATCH}", "callbacks.mine"),
        ("logger._target_=os.mkdir", "logger"),
        (f"trainer.lr_schedule={HATCH}", "trainer.lr_schedule"),
        (f"+metrics.fid={HATCH}", "metrics.fid"),
        (f"+features=[{HATCH}]", None),
        ("model._target_=os.mkdir", "model"),
    ],
)
def test_no_group_runs_a_refused_target(place: Path, override: str, key: str | None) -> None:
    said = train(override)
    assert said.code == 2
    if key is not None:
        assert f"{key}._target_: `os.mkdir` {NOT_ALLOWED}" in said.message.splitlines()
    assert list(place.iterdir()) == []


@pytest.mark.parametrize(
    ("override", "message"),
    [
        (f"+hydra.callbacks.mine={HATCH}", "hydra.callbacks: not used; give callbacks under"),
        (
            "hydra.launcher._target_=os.mkdir",
            "hydra.launcher._target_: must be a plugin of Hydra, got `os.mkdir`",
        ),
        (
            "hydra.sweeper._target_=os.mkdir",
            "hydra.sweeper._target_: must be a plugin of Hydra, got `os.mkdir`",
        ),
    ],
)
def test_hydras_own_node_names_no_code(place: Path, override: str, message: str) -> None:
    said = ganvas("train", "-m", override)
    assert said.code == 2
    assert message in said.message
    assert list(place.iterdir()) == []


def test_hydras_logging_names_no_code(place: Path, tmp_path: Path) -> None:
    """`logging.config` calls what stands under `()`."""
    folder = tmp_path / "groups" / "hydra" / "job_logging"
    folder.mkdir(parents=True)
    (folder / "mine.yaml").write_text(
        "version: 1\nformatters: {mine: {(): os.mkdir, path: canary}}\n"
    )
    said = ganvas("train", "-m", f"--config-dir={tmp_path / 'groups'}", "hydra/job_logging=mine")
    assert said.code == 2
    assert "hydra.job_logging: may not name code by `()`" in said.message
    assert list(place.iterdir()) == []


class TakesCallables:
    """A factory of layers, and a function of numbers that a node may build."""

    def __init__(
        self,
        *,
        layer: Callable[[], torch.nn.Module] | None = None,
        rate: Callable[[int], float] | None = None,
    ) -> None: ...


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        ({"layer": None}, None),
        ({"layer": {"_target_": "torch.nn.Tanh", "_partial_": True}}, None),
        ({"rate": {"_target_": "ganvas.schedules.ConstantSchedule", "value": 1.0}}, None),
        (
            {"layer": {"_target_": "torch.nn.Tanh"}},
            r"a.layer: must be a factory; add \+a.layer._pa",
        ),
        (
            {"layer": "tanh"},
            "a.layer: must be a factory, {_target_: …, _partial_: true}, got 'tanh",
        ),
    ],
)
def test_where_a_factory_is_needed(arguments: dict[str, object], fault: str | None) -> None:
    if fault is None:
        check_arguments(TakesCallables, arguments, key="a")
    else:
        with pytest.raises(ConfigError, match=fault):
            check_arguments(TakesCallables, arguments, key="a")
