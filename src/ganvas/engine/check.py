"""Everything that can be refused before any work: keys, types, targets, ranges, pairs, shapes."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ganvas.engine.compose import Composed, compose, resolve
from ganvas.engine.settings import TrainSettings, validate
from ganvas.engine.values import brief
from ganvas.errors import ConfigError, GanvasError

if TYPE_CHECKING:
    from ganvas.data import ImageData
    from ganvas.engine.build import Checked
    from ganvas.models.base import GenerativeModule

SESSION_KEYS = ("resume", "resume_with_changes", "check", "full_error", "trust")
"""Of one invocation, not of the run: never recorded."""


def check_overrides(overrides: Sequence[str], *, search: Sequence[str | Path] = ()) -> Checked:
    """Compose and check one training job.

    Raises:
        ConfigError: with one line for each fault.
    """
    return check_composed(compose(overrides, search=search))


def check_composed(composed: Composed, *, trust: Sequence[str] | None = None) -> Checked:
    """Check keys, types, ranges, targets and pairs of a composed config; nothing is built yet.

    Args:
        composed: the config.
        trust: trusted modules, in the place of those that the config names; for overrides and
            folders that were read from a file, which is not taken at its word.
    """
    config = composed.config
    if config.get("name") is None:
        names = [composed.choices.get(group) for group in ("model", "dataset")]
        config.name = "_".join(n for n in names if n) or "run"
    if isinstance(config.get("paths"), dict) or config.get("paths") is not None:
        for key in ("runs_dir", "data_dir", "cache_dir", "weights_dir"):
            if isinstance(config.paths.get(key), str) and config.paths[key]:
                config.paths[key] = str(Path(config.paths[key]).expanduser().absolute())
    plain = resolve(config)
    named = validate(TrainSettings, plain).trust
    trust = named if trust is None else trust
    return check_plain(plain, choices=composed.choices, trust=trust)


def check_plain(
    config: dict[str, Any], *, choices: dict[str, str], trust: Sequence[str] = ()
) -> Checked:
    """As `check_composed`, from resolved containers (a run's own record).

    What the config itself says under `trust` is not heard: a run's record may come from anywhere.
    """
    from ganvas.engine.build import FACTS, Checked, check_groups
    from ganvas.engine.targets import check_node, trusted_modules

    settings = validate(TrainSettings, config)
    _check_name(settings.name)
    recorded = {k: v for k, v in config.items() if k not in SESSION_KEYS and v is not None}
    recorded["trainer"] = settings.trainer.model_dump()
    checked = Checked(settings, recorded, dict(choices), trusted_modules(trust))
    check_groups(checked)
    features = settings.evaluation.features
    check_node(features, key="evaluation.features", trust=checked.trust, given=FACTS)
    return checked


def _check_name(name: str | None) -> None:
    if name is None or name != name.strip() or not name or set(name) & set('/\\:*?"<>|\0'):
        raise ConfigError(f'name: must be a folder name without / \\ : * ? " < > |, got {name!r}')
    if name.startswith("."):
        raise ConfigError(f"name: must not begin with a dot, got {name!r}")


def check_device(checked: Checked) -> None:
    """The devices that the trainer asks for exist.

    Raises:
        ConfigError: with the device to choose instead.
    """
    import torch

    trainer = checked.settings.trainer
    num_gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    on_gpu = trainer.accelerator == "gpu" or (trainer.accelerator == "auto" and num_gpus > 0)
    if trainer.accelerator == "gpu" and not num_gpus:
        raise ConfigError("trainer.accelerator=gpu: no CUDA device was found; choose trainer=cpu")
    if on_gpu and trainer.devices > num_gpus:
        raise ConfigError(f"trainer.devices={trainer.devices}: only {num_gpus} CUDA devices found")
    if not on_gpu and trainer.precision == "16-mixed":
        raise ConfigError(
            "trainer.precision=16-mixed needs a GPU; on the CPU use trainer.precision=32 or "
            "bf16-mixed"
        )
    if not on_gpu and trainer.sync_batchnorm:
        raise ConfigError("trainer.sync_batchnorm=true needs GPUs; set it to false on the CPU")


def check_build(checked: Checked) -> tuple[ImageData, GenerativeModule]:
    """Build data and model on the meta device and pass two images through (of batches of one, one).

    Nothing is computed or stored, so this costs a fraction of a second for any size.

    Raises:
        ConfigError: where a constructor refuses a value, or shapes do not fit.
    """
    import torch

    from ganvas.engine.build import (
        build_callbacks,
        build_data,
        build_logger,
        build_model,
        build_schedule,
    )
    from ganvas.engine.measures import Monitors, build_evaluations
    from ganvas.engine.needs import check_budget
    from ganvas.types import Batch

    data, trainer = build_data(checked), checked.settings.trainer
    _check_batch_cut(checked, data)
    build_logger(checked)
    build_callbacks(checked)
    build_schedule(checked)
    if data.image_shape is None:
        raise ConfigError("dataset: its image_shape is unknown before its files are there")
    with _our_message(checked), torch.device("meta"):
        model = build_model(checked, data)
        num = min(2, data.batch_size // (trainer.devices * trainer.num_nodes))
        images = torch.empty(num, *data.image_shape)
        labels = None if data.num_classes is None else torch.zeros(num, dtype=torch.long)
        batch = Batch(images, labels)
        parts = {**model.training_parts(batch), **model.reconstruction_parts(batch)}
        evaluations = build_evaluations(checked, data)
    _check_start(checked, model)
    _check_widths(checked, model)
    Monitors(checked, model, evaluations).check(list(parts))
    _check_optimizers(checked, model)
    check_budget(checked, model, steps_per_epoch=data.steps_per_epoch())
    return data, model


def _check_start(checked: Checked, model: GenerativeModule) -> None:
    """The weights that the run begins with are there, and the model's."""
    from ganvas.engine.archive import find_run
    from ganvas.engine.checkpoint_files import check_fit, checkpoint_path, read_checkpoint

    source = checked.settings.init_from
    if source is None:
        return
    try:
        path = checkpoint_path(find_run(source).folder, checked.settings.checkpoint)
        check_fit(model, read_checkpoint(path), path)
    except GanvasError as error:
        raise type(error)(f"init_from={brief(source)}: {error}") from error
    except (OSError, RuntimeError) as error:  # no name that a file or a user's folder has
        raise ConfigError(f"init_from={brief(source)}: can't be looked for there") from error


def _check_optimizers(checked: Checked, model: GenerativeModule) -> None:
    """The model has an optimizer for each of its sides, and each takes its values."""
    import torch

    from ganvas.engine.build import instantiate
    from ganvas.protocols import trainable

    node = checked.config.get("optimizer") or {}
    nodes = {"": node} if "_target_" in node else node
    wanted = set(trainable(model).optimizer_names)
    if wanted != set(nodes):
        raise ConfigError(
            f"optimizer: must have the keys {', '.join(sorted(wanted))}, "
            f"got {', '.join(sorted(nodes)) or 'none'}"
        )
    for name, part in nodes.items():
        key = f"optimizer.{name}" if name else "optimizer"
        try:
            made = instantiate(part)([torch.nn.Parameter(torch.zeros(1))])
        except (ValueError, TypeError, RuntimeError, AttributeError) as error:
            raise ConfigError(f"{key}: {error}") from error
        if not isinstance(made, torch.optim.Optimizer):
            raise ConfigError(
                f"{key}: must name an optimizer by _target_, got {type(made).__name__}"
            )


def check_ready(checked: Checked, *, known: dict[str, ImageData]) -> None:
    """All that can be told before a job of a sweep starts: device, shapes, images, budget.

    Args:
        checked: the job.
        known: data sets that were opened before; this one joins them.

    Raises:
        GanvasError: if the job would be refused.
    """
    from ganvas.engine.needs import check_needs

    check_device(checked)
    data, model = check_build(checked)
    if (identity := repr(checked.config["dataset"])) not in known:
        data.prepare(checked.settings.trainer.devices * checked.settings.trainer.num_nodes)
        known[identity] = data
    check_needs(checked, model, known[identity])


def _check_widths(checked: Checked, model: GenerativeModule) -> None:
    for name, weights in model.named_parameters():
        if weights.numel() == 0:
            raise ConfigError(
                f"model={checked.choices.get('model', '?')}: {name} would have the shape "
                f"{tuple(weights.shape)}; every width in network and model must be at least 1"
            )


def _check_batch_cut(checked: Checked, data: ImageData) -> None:
    trainer = checked.settings.trainer
    world = trainer.devices * trainer.num_nodes
    if data.batch_size % world:
        raise ConfigError(
            f"dataset.batch_size={data.batch_size} can't be cut into {world} equal parts "
            f"(trainer.devices × num_nodes); set it to {data.batch_size // world * world or world}"
        )


@contextmanager
def _our_message(checked: Checked) -> Iterator[None]:
    """A ValueError of a constructor or optimiser becomes a refusal; other errors stay theirs."""
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Initializing zero-element tensors")
            yield
    except GanvasError:
        raise
    except TypeError as error:
        model = checked.choices.get("model", "?")
        raise ConfigError(
            f"model={model}: a part does not take what it is given ({error}); choose another "
            "_target_, or give it its arguments; full_error=true shows where"
        ) from error
    except (ValueError, RuntimeError, IndexError) as error:
        rule = next((r for part, r in _TORCH_RULES.items() if part in str(error)), None)
        if rule is None and not isinstance(error, ValueError):
            raise
        message = rule or str(error)
        raise ConfigError(f"model={checked.choices.get('model', '?')}: {message}") from error


_WIDTHS = "every width in network and model must be at least 1"
_TORCH_RULES = {
    "Storage size calculation overflowed": (
        "a layer would be larger than any memory; lower the widths and sizes in network and "
        "model, or dataset.image_size"
    ),
    "index 0 out of range for tensor of size [0]": f"{_WIDTHS}, got 0",
    "with negative dimension": f"{_WIDTHS}, got a negative one",
    "Expected more than 1 value per channel": (
        "batch norm needs batches of at least 2 images per rank; raise dataset.batch_size, or "
        "choose a network without it"
    ),
}
"""What torch says of a shape, and what it means here."""
