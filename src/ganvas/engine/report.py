"""What `check=true` prints: layers, parameters, memory, steps, config."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
import yaml
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

from ganvas.engine.train import check_build
from ganvas.engine.trainer import total_steps

if TYPE_CHECKING:
    from ganvas.data import ImageData
    from ganvas.engine.build import Checked
    from ganvas.models.base import GenerativeModule

BYTES = 4


@dataclass(frozen=True)
class Layer:
    """One leaf module.

    Attributes:
        name: dotted path.
        kind: class name.
        output: shape for one image, without the batch.
        num_parameters: of its own.
        num_values: activations for one image, over all its calls.
    """

    name: str
    kind: str
    output: tuple[int, ...]
    num_parameters: int
    num_values: int


def layers(model: GenerativeModule, data: ImageData) -> list[Layer]:
    """Leaf modules in the order of their first call, seen by passing two meta images through."""
    from ganvas.types import Batch

    seen: dict[str, Layer] = {}
    handles = []

    def watch(name: str, module: nn.Module) -> None:
        def note(_module: nn.Module, _inputs: object, output: object) -> None:
            if not isinstance(output, Tensor):
                return
            before = seen[name].num_values if name in seen else 0
            own = sum(p.numel() for p in module.parameters())
            values = before + output[0].numel()
            seen[name] = Layer(name, type(module).__name__, tuple(output.shape[1:]), own, values)

        handles.append(module.register_forward_hook(note))

    for name, module in model.named_modules():
        if name and not any(module.children()):
            watch(name, module)
    with torch.device("meta"):
        images = torch.empty(2, *data.image_shape)
        model.training_parts(Batch(images, torch.zeros(2, dtype=torch.long)))
    for handle in handles:
        handle.remove()
    return list(seen.values())


def estimated_mib(model: GenerativeModule, found: list[Layer], *, batch_size: int) -> float:
    """Weights, gradients, two Adam moments, buffers and one batch's activations, in MiB.

    All is float32 but buffers, which have their own type.
    """
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    fixed = sum(p.numel() for p in model.parameters() if not p.requires_grad)
    activations = batch_size * sum(layer.num_values for layer in found)
    buffers = sum(buffer.nbytes for buffer in model.buffers())
    return ((4 * trained + fixed + activations) * BYTES + buffers) / 2**20


def print_check(checked: Checked, *, console: Console) -> None:
    """Build on the meta device and print what would be trained.

    Raises:
        ConfigError: if it can't be built.
    """
    data, model = check_build(checked)
    found = layers(model, data)
    console.print(
        yaml.safe_dump(checked.config, sort_keys=False, allow_unicode=True),
        end="",
        markup=False,
        highlight=False,
        soft_wrap=True,
    )
    table = Table(
        title=f"model={checked.choices.get('model', '?')} for {data.image_shape}",
        title_justify="left",
    )
    for column, right in (("layer", 0), ("kind", 0), ("output", 0), ("parameters", 1)):
        table.add_column(column, justify="right" if right else "left")
    for layer in found:
        shape = "×".join(map(str, layer.output)) or "scalar"
        table.add_row(layer.name, layer.kind, shape, f"{layer.num_parameters:,}")
    console.print(table)
    rows = {
        name: f"{sum(p.numel() for p in net.parameters()):,} parameters"
        for name, net in model.networks().items()
    }
    rows["memory"] = (
        f"about {estimated_mib(model, found, batch_size=data.batch_size):,.0f} MiB "
        f"at batch size {data.batch_size}, besides what torch itself takes"
    )
    steps = data.steps_per_epoch()
    if steps is None:
        rows["steps"] = "unknown until the files are there"
    else:
        rows["steps"] = f"{steps:,} per epoch, {total_steps(checked, steps) or 0:,} in all"
    grid = Table.grid(padding=(0, 2))
    for name, text in rows.items():
        grid.add_row(name, text)
    console.print(grid)
    console.print("The config is good. Nothing was trained.")
