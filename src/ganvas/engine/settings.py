"""The typed sections of the config: their keys, types and ranges, in one place.

Sections with a `_target_` are checked against that class's own signature instead (`targets`).
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from ganvas.engine.compose import suggest
from ganvas.engine.values import brief, check_values
from ganvas.errors import ConfigError

Positive = Annotated[int, Field(ge=1)]
NonNegative = Annotated[int, Field(ge=0)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]
Folder = Annotated[str, Field(min_length=1)]
Precision = Annotated[Literal["32", "bf16-mixed", "16-mixed"], BeforeValidator(str)]


class Section(BaseModel):
    """Abstract: no unknown keys, no silent conversion, no change once made."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class Checkpointing(Section):
    """When checkpoints are written and which are kept."""

    every_n_steps: Positive | None = None
    keep: NonNegative = 0
    monitor: str | None = None
    mode: Literal["min", "max"] | None = None


class EarlyStopping(Section):
    """Stop once the monitor has not improved by `min_delta` for `patience` validations."""

    patience: Positive
    min_delta: Annotated[float, Field(ge=0)] = 0.0
    monitor: str | None = None
    mode: Literal["min", "max"] | None = None


class TrainerSettings(Section):
    """The `trainer` group."""

    accelerator: Literal["auto", "cpu", "gpu"] = "auto"
    devices: Positive = 1
    num_nodes: Positive = 1
    sync_batchnorm: bool = False
    precision: Precision = "32"
    max_epochs: Positive | None = 10
    max_steps: Positive | None = None
    deterministic: bool | Literal["warn"] | None = None
    compile: bool = False
    num_threads: Annotated[int, Field(ge=1, le=1024)] | None = None
    gradient_clip_val: Annotated[float, Field(gt=0)] | None = None
    accumulate_grad_batches: Positive = 1
    lr_schedule: dict[str, Any] | None = None
    early_stopping: EarlyStopping | None = None
    check_val_every_n_epoch: Positive = 1
    val_check_interval: Positive | None = None
    log_every_n_steps: Positive = 50
    progress_bar: bool = True
    checkpoint: Checkpointing = Checkpointing()

    @model_validator(mode="after")
    def _pairs(self) -> TrainerSettings:
        if self.max_epochs is None and self.max_steps is None:
            raise ValueError("max_epochs and max_steps can't both be null; set one of them")
        if self.accelerator == "cpu" and self.precision == "16-mixed":
            raise ValueError("precision=16-mixed needs a GPU; on the CPU use 32 or bf16-mixed")
        if self.accelerator == "cpu" and self.sync_batchnorm:
            raise ValueError("sync_batchnorm=true needs GPUs; set it to false on the CPU")
        return self


class Paths(Section):
    """The `paths` group."""

    runs_dir: Folder
    data_dir: Folder
    cache_dir: Folder
    weights_dir: Folder


class Evaluation(Section):
    """The `evaluation` section: how the measures of `metrics` are taken."""

    num: Annotated[int, Field(ge=2)] | None = None
    seed: Seed = 0
    ema: bool = True
    quantize: bool = True
    reference: Literal["train", "val", "test"] | None = None
    batch_size: Annotated[int, Field(ge=1, le=256)] = 256
    features: dict[str, Any] = {}
    layer: str | None = None


class TrainSettings(Section):
    """The top level of `conf/train.yaml`."""

    seed: Seed
    name: str | None = None
    tags: list[str] = []
    notes: str | None = None
    test: bool = True
    resume: Folder | None = None
    resume_with_changes: bool = False
    init_from: Folder | None = None
    checkpoint: str = "best"
    check: bool = False
    full_error: bool = False
    trust: list[str] = []
    paths: Paths
    trainer: TrainerSettings
    dataset: dict[str, Any]
    model: dict[str, Any]
    network: dict[str, Any] | None = None
    loss: dict[str, Any] | None = None
    likelihood: dict[str, Any] | None = None
    corruption: dict[str, Any] | None = None
    penalty: dict[str, Any] | None = None
    generator_condition: dict[str, Any] | None = None
    critic_condition: dict[str, Any] | None = None
    optimizer: dict[str, Any] | None = None
    metrics: dict[str, Any] | None = None
    evaluation: Evaluation = Evaluation()
    features: dict[str, Any] | None = None
    callbacks: dict[str, Any] | None = None
    logger: dict[str, Any]


class ClassifierSettings(Section):
    """`conf/classifier.yaml`."""

    paths: Paths
    dataset: dict[str, Any]
    out: str | None
    full_error: bool
    trust: list[str]


class OptionalPaths(Section):
    """Folders of `ganvas evaluate`; None stands for the run's own."""

    data_dir: Folder | None = None
    cache_dir: Folder | None = None
    weights_dir: Folder | None = None


class EvaluateSettings(Evaluation):
    """`conf/evaluate.yaml`."""

    run: str
    checkpoint: str
    split: Literal["train", "val", "test"]
    metrics: dict[str, Any] = {}
    prior: dict[str, Any]
    accelerator: Literal["auto", "cpu", "gpu"]
    paths: OptionalPaths
    full_error: bool
    trust: list[str]


def _classes(value: Any) -> Any:
    """A class, or a list of classes."""
    classes = value if isinstance(value, list) else [value]
    fits = bool(classes) and all(type(k) is int and k >= 0 for k in classes)
    if value is not None and not fits:
        raise ValueError(
            f"must be a class (0, 1, …), a list of classes, or null, got {brief(value)}"
        )
    return value


def _images(value: Any) -> Any:
    """Positions and files, `random`, or null; a single one stands for a list of one."""
    items = value if isinstance(value, list) else [value]
    if value is None or value == "random":
        return value
    if not all(type(item) in (int, str) for item in items):
        raise ValueError(
            "must be a list of positions in the split, files and folders, e.g. [0,7,cat.png], or "
            f"random, or null, got {brief(value)}"
        )
    return items


class SampleSettings(Section):
    """`conf/sample.yaml`."""

    run: str
    checkpoint: str
    n: Positive
    seed: Seed
    y: Annotated[int | list[int] | None, BeforeValidator(_classes)]
    prior: dict[str, Any]
    truncation: Annotated[float, Field(gt=0)] | None
    format: Literal["grid", "png", "npz"]
    out: str | None
    accelerator: Literal["auto", "cpu", "gpu"]
    full_error: bool
    trust: list[str]


class LatentSettings(Section):
    """`conf/latent.yaml`."""

    run: str
    tool: dict[str, Any]
    prior: dict[str, Any]
    features: dict[str, Any]
    checkpoint: str
    images: Annotated[list[int | str] | Literal["random"] | None, BeforeValidator(_images)]
    split: Literal["train", "val", "test"]
    y: Annotated[int | list[int] | None, BeforeValidator(_classes)]
    invert: bool
    seed: Seed
    out: str | None
    log: bool
    accelerator: Literal["auto", "cpu", "gpu"]
    paths: OptionalPaths
    full_error: bool
    trust: list[str]


S = TypeVar("S", bound=Section)


def validate(section: type[S], values: dict[str, Any], *, prefix: str = "") -> S:
    """`values` as a `section`.

    Raises:
        ConfigError: one line for each fault, naming the key, the value got and the rule.
    """
    check_values(values)
    try:
        return section.model_validate(values)
    except ValidationError as error:
        raise ConfigError(explain(error, prefix=prefix, known=_known(section))) from error


def explain(error: ValidationError, *, prefix: str, known: dict[str, list[str]]) -> str:
    """Pydantic's findings as `key: rule, got value`, one line each."""
    lines: dict[str, str] = {}
    for item in error.errors(include_url=False):
        parts = [str(p) for p in item["loc"] if not str(p).startswith(_UNION_STEPS)]
        parts = [p for p in parts if p not in _UNION_BRANCHES]
        key = ".".join([prefix, *parts] if prefix else parts)
        if item["type"] == "extra_forbidden":
            hint = suggest(parts[-1], known.get(".".join(parts[:-1]), []))
            lines[key] = f"`{key}`: no such key{hint}"
        elif item["type"] == "missing":
            lines[key] = f"`{key}`: a value is required"
        elif item["type"] == "value_error":
            lines[key] = f"{key}: {item['ctx']['error']}" if key else str(item["ctx"]["error"])
        else:
            rule = item["msg"].replace("Input should", "should")
            for theirs, ours in _RULES.items():
                rule = rule.replace(theirs, ours)
            lines.setdefault(key, f"{key}: {rule}, got {brief(item['input'])}")
    return "\n".join(lines.values())


_RULES = {
    "an instance of Sequence": "a list",
    "'str' instances are not allowed as a Sequence value": "should be a list",
    "a valid tuple": "a list",
    "a valid array": "a list",
    "an object": "a mapping",
    "a valid dictionary": "a mapping",
}
_UNION_STEPS = ("function-", "literal[", "json-or-python[", "list[")
_UNION_BRANCHES = frozenset({"bool", "int", "float", "str", "EarlyStopping", "dict[str,any]"})


def _known(section: type[BaseModel]) -> dict[str, list[str]]:
    """Key names by dotted path of the section, for suggestions."""
    known = {"": list(section.model_fields)}
    for name, field in section.model_fields.items():
        for kind in (field.annotation, *getattr(field.annotation, "__args__", ())):
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                known |= {f"{name}.{k}".rstrip("."): v for k, v in _known(kind).items()}
    return known
