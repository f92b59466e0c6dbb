"""`ganvas latent RUN tool=…`: a picture of a trained model, with the text that says what it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ganvas.engine.build import (
    FACTS,
    build_data,
    build_logger,
    built,
    facts_for,
    instantiate,
    model_class,
)
from ganvas.engine.checkpoint_files import checkpoint_path
from ganvas.engine.drawn import Made, write
from ganvas.engine.measures import chosen_extractor
from ganvas.engine.priors import build_prior, code_source
from ganvas.engine.runs import pick_device, read_checked, read_config, restore
from ganvas.engine.settings import LatentSettings
from ganvas.engine.targets import check_arguments, check_node, locate
from ganvas.errors import ConfigError, GanvasError, RunError
from ganvas.evaluation.subject import Options, Subject
from ganvas.latent.scene import Request, Scene
from ganvas.latent.tool import Tool
from ganvas.models.view import ModelView
from ganvas.tracking.record import RunRecord
from ganvas.types import POINT_SHAPE

if TYPE_CHECKING:
    from ganvas.data import ImageData
    from ganvas.evaluation.priors import CodeSource


class Bench:
    """A run and the tool for it, whose parts are loaded when the tool asks for them.

    Args:
        settings: of the command.

    Raises:
        ConfigError: if there is no such tool, or the run can't be used.
    """

    def __init__(self, settings: LatentSettings) -> None:
        self.settings = settings
        self.folder = Path(settings.run).expanduser().resolve()
        self.checked = read_checked(self.folder, trust=settings.trust, paths=settings.paths)
        data = build_data(self.checked)
        self.tool = build_tool(settings.tool, data=data, trust=settings.trust)
        self.step: int | None = None

    @property
    def checkpoint(self) -> Path:
        """The file."""
        return checkpoint_path(self.folder, self.settings.checkpoint)

    def check(self) -> None:
        """The tool can be used on this run's model.

        Raises:
            ConfigError: if it can't.
        """
        name = self.checked.choices.get("model", "this model")
        asked = f"tool={self.tool.name}"
        if fault := self.tool.unfit(model_class(self.checked)):
            raise ConfigError(f"{asked}: model={name} {fault}")
        shape = tuple(build_data(self.checked).image_shape) if self.tool.draws_images else None
        if shape == POINT_SHAPE:
            raise ConfigError(f"{asked}: draws images, and this run makes points of the plane")

    def view(self) -> ModelView:
        """The model with the checkpoint's weights."""
        model, content = restore(self.checked, self.folder, self.settings.checkpoint)
        self.step = content["ganvas_counters"]["step"]
        return ModelView(model.to(pick_device(self.settings.accelerator)))

    def data(self) -> ImageData:
        """The run's images."""
        data = build_data(self.checked)
        data.prepare()
        return data

    def codes(self, scene: Scene) -> CodeSource:
        """What draws random codes."""
        return code_source(
            build_prior(self.settings.prior, trust=self.settings.trust),
            scene.view.module,
            folder=self.folder,
            checkpoint=self.checkpoint,
            data=lambda: scene.data,
        )

    def subject(self, scene: Scene) -> Subject:
        """The model as evaluation sees it."""
        settings, paths = self.settings, self.checked.settings.paths
        extractor = None
        if self.tool.needs_features:
            extractor = chosen_extractor(
                settings.features, scene.data, paths=paths, trust=settings.trust
            )
        return Subject(
            scene.view.module,
            scene.data,
            split=settings.split,
            options=Options(seed=settings.seed),
            extractor=extractor,
            cache_dir=paths.cache_dir,
            weights_dir=paths.weights_dir,
        )

    def scene(self, images: Any) -> Scene:
        """What the tool sees."""
        settings = self.settings
        request = Request(
            images=images, split=settings.split, y=settings.y, invert=settings.invert,
            seed=settings.seed,
        )  # fmt: skip
        scene = Scene(
            self.folder,
            request,
            load_view=self.view,
            load_data=self.data,
            load_codes=lambda: self.codes(scene),
            load_subject=lambda: self.subject(scene),
        )
        return scene


def build_tool(node: Mapping[str, Any], *, data: ImageData, trust: Sequence[str]) -> Tool:
    """The choice of the `tool` group; what its options name is told the facts of the data.

    Raises:
        ConfigError: if it is no tool, or a value is refused.
    """
    target = locate(node.get("_target_"), key="tool._target_", trust=trust)
    check_arguments(target, node, key="tool")
    parts = {
        name: _part(part, data=data, key=f"tool.{name}", trust=trust) for name, part in node.items()
    }
    try:
        tool = instantiate(parts)
    except ConfigError:
        raise
    except (ValueError, TypeError) as error:
        raise ConfigError(f"tool.{error}") from error
    if not isinstance(tool, Tool):
        raise ConfigError(f"tool: must name a tool by _target_, got {type(tool).__name__}")
    return tool


def _part(node: Any, *, data: ImageData, key: str, trust: Sequence[str]) -> Any:
    """The value of an option, built where it is a node."""
    check_node(node, key=key, trust=trust, given=FACTS)
    if not isinstance(node, dict) or "_target_" not in node or node.get("_partial_"):
        return node
    target = locate(node["_target_"], key=f"{key}._target_", trust=trust)
    return built({**node, **facts_for(target, data, stated=node)}, key)


def draw(settings: LatentSettings, *, given: Any = None, command: Sequence[str] = ()) -> Made:
    """Draw and write.

    Args:
        settings: of the command.
        given: images in the place of `settings.images`, where they can't be written down.
        command: the overrides, for the text.

    Raises:
        GanvasError: if the run can't be used, the tool does not fit, or nothing can be written.
    """
    bench = Bench(settings)
    bench.check()
    tool = bench.tool
    logger = build_logger(bench.checked) if settings.log else None
    scene = bench.scene(settings.images if given is None else given)
    try:
        drawing = tool.draw(scene)
    except GanvasError:
        raise
    except ValueError as error:
        raise RunError(f"tool={tool.name}: {error}") from error
    made = write(bench, drawing, command=command)
    if logger is not None:
        _log(bench, logger, made.pixels)
    return made


def _log(bench: Bench, logger: Any, pixels: np.ndarray) -> None:
    """Show the picture where the run was shown."""
    record = RunRecord.open(bench.folder, resume=False)
    try:
        step = bench.step or 0
        logger.start(
            bench.folder,
            config=read_config(bench.folder),
            name=f"{record.content['name']}-{record.id}",
            run_id=record.tracker_id,
            first_step=step,
        )
        try:
            logger.log_images(f"latent/{bench.tool.name}", pixels, step=step)
        finally:
            logger.finish()
    finally:
        record.close()
