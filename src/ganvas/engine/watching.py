"""What the callbacks that watch adversarial models log, and what they may be asked to watch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ganvas.callbacks.collapse import Collapse
from ganvas.callbacks.diversity import Diversity
from ganvas.engine.build import model_class
from ganvas.engine.compose import suggest
from ganvas.engine.targets import locate
from ganvas.errors import ConfigError
from ganvas.protocols import Adversarial

if TYPE_CHECKING:
    from ganvas.engine.build import Checked


def published(checked: Checked) -> dict[str, bool]:
    """Whether higher is better, for each value that a callback logs of this model."""
    measured = [node for _, node in _nodes(checked, Diversity)]
    known = measured and Diversity.measures(model_class(checked))
    return dict(Diversity.higher_is_better) if known else {}


def watched_metrics(checked: Checked) -> list[str]:
    """What `Collapse` is asked to watch beside losses, gradients and diversity."""
    return [node["metric"] for _, node in _nodes(checked, Collapse) if node.get("metric")]


def check_collapse(
    checked: Checked, *, known: Sequence[str], directions: Mapping[str, bool]
) -> None:
    """The metric that `Collapse` watches will be there and has a direction.

    Args:
        checked: the job.
        known: validation metrics that there will be.
        directions: whether higher is better, by their part after the slash.

    Raises:
        ConfigError: if not, or if the model is no game.
    """
    for key, node in _nodes(checked, Collapse):
        if (metric := node.get("metric")) is None:
            continue
        if not issubclass(model_class(checked), Adversarial):
            raise ConfigError(
                f"{key}.metric={metric}: model={checked.choices.get('model', '?')} is not "
                "adversarial and not watched for collapse; set trainer.early_stopping instead"
            )
        if metric not in known:
            raise ConfigError(f"{key}.metric={metric}: no such metric{suggest(metric, known)}")
        if node.get("metric_mode") is None and metric.partition("/")[2] not in directions:
            raise ConfigError(f"{key}.metric_mode: say min or max for {metric}; neither is known")


def _nodes(checked: Checked, kind: type) -> Iterator[tuple[str, dict[str, Any]]]:
    """Key and node of each callback of a class."""
    for name, node in (checked.config.get("callbacks") or {}).items():
        key = f"callbacks.{name}"
        if node and locate(node["_target_"], key=f"{key}._target_", trust=checked.trust) is kind:
            yield key, node
