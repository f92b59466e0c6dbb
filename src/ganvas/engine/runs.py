"""Runs that exist: their record, their trained model, their numbers."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import yaml

from ganvas.engine.archive import Place, find_run
from ganvas.engine.build import Checked, build_data, build_model
from ganvas.engine.check import check_plain
from ganvas.engine.checkpoint_files import checkpoint_path, load_weights
from ganvas.engine.compose import compose, resolve
from ganvas.engine.portable import with_own_folders
from ganvas.engine.priors import build_prior, code_source
from ganvas.engine.values import check_values
from ganvas.errors import ConfigError, GanvasWarning, RunError
from ganvas.evaluation.result import Result
from ganvas.models.view import ModelView
from ganvas.tracking.files import read_run_json
from ganvas.tracking.tables import metrics_frame

if TYPE_CHECKING:
    import pandas as pd

    from ganvas.data import ImageData
    from ganvas.engine.run_tools import Latent
    from ganvas.engine.settings import OptionalPaths
    from ganvas.evaluation.priors import CodeSource
    from ganvas.models.base import GenerativeModule


CONFIG_FILE = "config.yaml"


def read_config(folder: Path) -> dict[str, Any]:
    """A run's frozen config; an exported one has the folders of this machine.

    Raises:
        RunError: if there is no run, or its config can't be read.
    """
    read_run_json(folder)
    file = folder / CONFIG_FILE
    try:
        config = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        raise RunError(f"{file} can't be read ({type(error).__name__}); restore it") from error
    if not isinstance(config, dict):
        raise RunError(f"{file} is damaged: it holds no mapping; restore it")
    try:
        check_values(config)
    except ConfigError as error:
        raise RunError(f"{file} is damaged: {error}; restore it") from error
    return dict(with_own_folders(config))


def read_checked(
    folder: Path, *, trust: Sequence[str], paths: OptionalPaths | None = None
) -> Checked:
    """A run's frozen config, checked again: its `_target_`s are trusted no more than typed ones.

    Args:
        folder: of the run.
        trust: trusted modules.
        paths: folders of this machine, in the place of the run's own.
    """
    config = _with_paths(read_config(folder), paths)
    if "_target_" in (config.get("metrics") or {}):
        config["metrics"] = None  # of an earlier version; only training would have used it
    choices = read_run_json(folder).get("choices") or {}
    try:
        return check_plain(config, choices=choices, trust=trust)
    except ConfigError as error:
        raise ConfigError(f"{folder / 'config.yaml'} can't be used:\n{error}") from error


def _with_paths(config: dict[str, Any], changed: OptionalPaths | None) -> dict[str, Any]:
    """The config with other folders."""
    given = {} if changed is None else changed.model_dump(exclude_none=True)
    if not given:
        return config
    given = {k: str(Path(v).expanduser().absolute()) for k, v in given.items()}
    paths = dict(config["paths"])
    former = paths["data_dir"]

    def moved(node: Any) -> Any:
        if isinstance(node, dict):
            return {k: moved(v) for k, v in node.items()}
        return given.get("data_dir", node) if node == former else node

    return {**config, "paths": {**paths, **given}, "dataset": moved(config["dataset"])}


def pick_device(accelerator: str) -> torch.device:
    """`auto` is CUDA where there is one.

    Raises:
        RunError: if gpu is asked for and there is none.
    """
    available = torch.cuda.is_available()
    if accelerator == "gpu" and not available:
        raise RunError("accelerator=gpu: no CUDA device was found; use accelerator=cpu")
    return torch.device("cuda" if available and accelerator != "cpu" else "cpu")


class Run:
    """A run on disk.

    Args:
        place: of the run.
        trust: your own modules that its config may name.

    Attributes:
        place: where it is, and whether it came out of a zip.
        path: its folder.
    """

    def __init__(self, place: Place | Path, *, trust: Sequence[str] = ()) -> None:
        self.place = place if isinstance(place, Place) else Place(place)
        self.path = path = self.place.folder
        self._trust = tuple(trust)
        self._model: ModelView | None = None
        read_run_json(path)

    def __repr__(self) -> str:
        return f"Run({str(self.place.shown)!r}, status={self.record['status']!r})"

    @property
    def record(self) -> dict[str, Any]:
        """The content of `run.json`, read anew."""
        return read_run_json(self.path)

    @property
    def config(self) -> dict[str, Any]:
        """The frozen config."""
        return read_config(self.path)

    def metrics(self) -> pd.DataFrame:
        """One row per logged step, one column per metric, with `images_seen` and `seconds`."""
        return metrics_frame(self.path)

    def evaluations(self) -> list[Result]:
        """What `ganvas evaluate` has recorded, oldest first."""
        return [Result.from_dict(stored) for stored in self.record.get("evaluations", [])]

    @property
    def model(self) -> ModelView:
        """The model with its best weights (the last ones where none were selected)."""
        if self._model is None:
            self._model = self.load_model("best")
        return self._model

    def load_model(self, checkpoint: str = "best", *, device: str = "cpu") -> ModelView:
        """The model with the weights of `best`, `last` or a path.

        Raises:
            CheckpointError: if the checkpoint is missing, damaged, or of another model.
            ConfigError: if the run's config may not be built.
        """
        checked = read_checked(self.path, trust=self._trust)
        model, _ = restore(checked, self.path, checkpoint)
        return ModelView(model.to(device))

    def data(self) -> ImageData:
        """The run's data set, prepared.

        Raises:
            DataError: if its files are missing or unreadable.
        """
        data = build_data(read_checked(self.path, trust=self._trust))
        data.prepare()
        return data

    @property
    def latent(self) -> Latent:
        """Pictures of what the model has learnt: `run.latent.interpolate(images=[0, 7])`."""
        from ganvas.engine.run_tools import Latent

        return Latent(self.place.shown, trust=self._trust)

    def export(
        self, out: str | Path | None = None, *, checkpoint: str = "both", overwrite: bool = False
    ) -> Path:
        """Write the run into one zip that others can open: `ganvas export`; the zip.

        Args:
            out: the zip; None for `<name>-<id>.zip` in the working folder.
            checkpoint: whose weights it holds: "both", "best", "last" or "none".
            overwrite: whether a file of that name is replaced.

        Raises:
            ConfigError: if the zip can't be called that.
            RunError: if the run is in use, or something can't be read or written.
        """
        from ganvas.engine.export import export

        return export(self.place, out, checkpoint=checkpoint, overwrite=overwrite).file

    def prior(self, kind: str = "gmm", *, checkpoint: str = "best", **options: Any) -> CodeSource:
        """What draws codes for `sample(num, noise=…)`: `codes(num, seed=…)`.

        A prior that is fitted to the codes of the training images is kept in the run's folder and
        used again.

        Args:
            kind: an option of the `prior` group: "gaussian", "gmm", "normal" or "model".
            checkpoint: whose weights make the codes.
            options: of that prior, e.g. `components=20`.

        Raises:
            ConfigError: if there is no such prior, or a value is refused.
            RunError: if the model can't be sampled so, or no prior can be fitted or kept.
            DataError: if the images can't be read.
        """
        typed = [f"prior={kind}", *(f"prior.{name}={value}" for name, value in options.items())]
        node = resolve(compose(typed, name="sample").config.prior)
        return code_source(
            build_prior(node, trust=self._trust),
            self.load_model(checkpoint).module,
            folder=self.path,
            checkpoint=checkpoint_path(self.path, checkpoint),
            data=self.data,
        )


def restore(
    checked: Checked, folder: Path, checkpoint: str
) -> tuple[GenerativeModule, dict[str, Any]]:
    """The model of a run with a checkpoint's weights and counters, and that checkpoint."""
    path = checkpoint_path(folder, checkpoint)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", GanvasWarning)  # they matter before training
        with torch.random.fork_rng(devices=[]):  # first weights are drawn, to be replaced
            model = build_model(checked, build_data(checked), restoring=True)
    model.seed = checked.settings.seed
    content = load_weights(model, path)
    model.on_load_checkpoint(content)
    return model, content


def load_run(path: str | Path, *, trust: Sequence[str] = ()) -> Run:
    """A run from its folder, or from the zip it was exported to.

    Args:
        path: the run's folder or zip.
        trust: your own modules that its config may name.

    Raises:
        RunError: if there is no run, or its record is damaged.
    """
    return Run(find_run(path), trust=trust)
