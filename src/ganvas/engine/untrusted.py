"""The record of a run that may come from anybody: of the form that its readers rely on."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

Text = Annotated[str, Field(max_length=100_000)]
Number = float | Annotated[str, Field(pattern=r"^-?(nan|inf)$")]
Step = Annotated[int, Field(ge=0)]
Facts = dict[str, Any]


class Part(BaseModel):
    """Abstract: no silent conversion; fields of other versions are left alone."""

    model_config = ConfigDict(strict=True, extra="allow")


class _Point(Part):
    value: Number
    step: Step


class _Metric(Part):
    final: _Point | None = None
    best: _Point | None = None
    higher_is_better: bool | None = None


class _Weights(Part):
    step: Step
    sha256: Text


class _Evaluation(Part):
    name: Text
    split: Text
    value: Number
    uncertainty: Number | None
    checkpoint: Text
    protocol: Facts
    provenance: Facts
    higher_is_better: bool | None = None


class _Resumed(Part):
    from_step: Step
    overrides: list[Text] = []
    changes: list[Text] = []


class _Hardware(Part):
    devices: list[Facts] = []


class Record(Part):
    """`run.json`."""

    id: Annotated[str, Field(pattern=r"^[0-9a-f]{1,16}$")]
    name: Text
    status: Text
    command: Text | None = None
    reason: Text | None = None
    seed: int | None = None
    config_hash: Text | None = None
    dataset_fingerprint: Text | None = None
    features: Text | None = None
    metrics: dict[Text, _Metric]
    evaluations: list[_Evaluation]
    weights: dict[Text, _Weights] | None = None
    packages: dict[Text, Text | None] | None = None
    hardware: _Hardware | None = None
    choices: dict[Text, Text] | None = None
    resumed: list[_Resumed] | None = None
    git: Facts | None = None
    code: Facts | None = None
    wandb: Facts | None = None
    usage: Facts | None = None
    protocol: Facts | None = None
    determinism: Facts | None = None
    parent_weights: Facts | None = None
    total_steps: int | None = None


def record_fault(content: Any) -> str | None:
    """What is not of the form of a record, in a few words; None where all is."""
    try:
        Record.model_validate(content)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        return f"`{'.'.join(map(str, first['loc']))[:80]}` in run.json: {first['msg'][:80]}"
    return None
