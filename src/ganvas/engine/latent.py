"""`ganvas latent RUN tool=…`: a picture of a trained model, with the text that says what it is."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ganvas.data.given import INVERTED
from ganvas.engine.archive import find_run
from ganvas.engine.build import FACTS, build_data, built, facts_for, instantiate, model_class
from ganvas.engine.checkpoint_files import checkpoint_path
from ganvas.engine.drawn import Made, check_out, write
from ganvas.engine.measures import chosen_extractor
from ganvas.engine.priors import build_prior, code_source
from ganvas.engine.runs import pick_device, read_checked, restore
from ganvas.engine.settings import LatentSettings
from ganvas.engine.shown import shown
from ganvas.engine.targets import check_arguments, check_node, locate
from ganvas.errors import ConfigError, GanvasError, GanvasWarning, RunError
from ganvas.evaluation.priors import OwnPrior
from ganvas.evaluation.subject import Options, Subject
from ganvas.latent.inputs import Request, records
from ganvas.latent.scene import Scene
from ganvas.latent.tool import Tool
from ganvas.models.view import ModelView
from ganvas.types import POINT_SHAPE

if TYPE_CHECKING:
    from ganvas.data import ImageData
    from ganvas.evaluation.priors import CodeSource

PIXELS = "ganvas.nn.pixels.Pixels"
"""What `conf/latent.yaml` chooses for the tools that look at features."""


@dataclass(frozen=True)
class Weights:
    """Whose picture it is.

    Attributes:
        file: the checkpoint.
        sha256: of its content.
        step: that it was written at.
    """

    file: Path
    sha256: str
    step: int


class Bench:
    """A run and the tool for it, whose parts are loaded when the tool asks for them.

    Args:
        settings: of the command.

    Raises:
        ConfigError: if there is no such tool, or the run can't be used.
    """

    def __init__(self, settings: LatentSettings) -> None:
        self.settings = settings
        self.place = find_run(settings.run)
        self.folder = self.place.folder
        self.checked = read_checked(self.folder, trust=settings.trust, paths=settings.paths)
        data = build_data(self.checked)
        self.tool = build_tool(settings.tool, data=data, trust=settings.trust)
        self.prior = build_prior(settings.prior, trust=settings.trust)
        self.weights: Weights | None = None
        self._drew_codes = False

    @property
    def step(self) -> int | None:
        """Of the weights; None where the tool did not ask for the model."""
        return None if self.weights is None else self.weights.step

    @property
    def given_prior(self) -> str | None:
        """What random codes were drawn from, where it is not the model's own."""
        own = isinstance(self.prior, OwnPrior)
        return self.prior.name if self._drew_codes and not own else None

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
            raise ConfigError(
                f"{asked}: draws images, and this run makes points of the "
                "plane; tool=walk shows how it learnt them, `ganvas sample` draws some"
            )
        if not self.tool.needs_features and self.settings.features != {"_target_": PIXELS}:
            raise ConfigError(f"features: {asked} looks at no features; leave features out")

    def check_used(self, notes: Sequence[str]) -> None:
        """Warn of settings that the picture, of which these notes tell, does not depend on."""
        texts = []
        if not (self._drew_codes or isinstance(self.prior, OwnPrior)):
            texts.append("prior: left aside, since no codes were drawn; images=random draws some")
        if self.weights is None and self.settings.checkpoint != "best":
            texts.append(f"checkpoint: left aside, since tool={self.tool.name} reads no weights")
        if self.settings.invert and not any(INVERTED in note for note in notes):
            texts.append("invert: left aside, since it is for given files, and there are none")
        for text in texts:
            warnings.warn(text, GanvasWarning, stacklevel=3)

    def view(self) -> ModelView:
        """The model with the checkpoint's weights."""
        while True:
            file = checkpoint_path(self.folder, self.settings.checkpoint)
            sha256 = _hashed(file)
            model, content = restore(self.checked, self.folder, str(file))
            if _hashed(file) == sha256:  # else training has replaced it meanwhile
                break
        self.weights = Weights(file, sha256, content["ganvas_counters"]["step"])
        return ModelView(model.to(pick_device(self.settings.accelerator)))

    def data(self) -> ImageData:
        """The run's images."""
        data = build_data(self.checked)
        data.prepare()
        return data

    def codes(self, scene: Scene) -> CodeSource:
        """What draws random codes."""
        self._drew_codes, model = True, scene.view.module
        assert self.weights is not None
        return code_source(
            self.prior,
            model,
            folder=self.folder,
            checkpoint=self.weights.file,
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
    except ValueError as error:
        raise ConfigError(f"tool.{error}") from error
    except TypeError as error:  # of a node where a number was meant
        raise ConfigError(f"tool: {target.__name__} can't be made of this ({error})") from error
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
    check_out(settings.out)
    bench = Bench(settings)
    bench.check()
    images = settings.images if given is None else given
    origin = records(images)
    with shown(bench) as show:
        try:
            drawing = bench.tool.draw(bench.scene(images))
            made = write(bench, drawing, images=origin, command=command)
        except GanvasError:
            raise
        except ValueError as error:
            raise RunError(f"tool={bench.tool.name}: {error}") from error
        bench.check_used(drawing.notes)
        show(made)
    return made


def _hashed(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
