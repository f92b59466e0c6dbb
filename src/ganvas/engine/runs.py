"""Runs that exist: their record, their trained model, their numbers."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import yaml
from torch import Tensor

from ganvas.engine.build import Checked, build_data, build_model
from ganvas.engine.check import check_plain
from ganvas.engine.checkpoint_files import checkpoint_path, load_weights
from ganvas.errors import ConfigError, GanvasWarning, RunError
from ganvas.nn.noise import truncated
from ganvas.protocols import Conditional, Decodes, Encodes, Reconstructs, Samples
from ganvas.tracking.files import read_run_json
from ganvas.tracking.tables import metrics_frame

if TYPE_CHECKING:
    import pandas as pd

    from ganvas.data import ImageData
    from ganvas.models.base import GenerativeModule


def read_config(folder: Path) -> dict[str, Any]:
    """A run's frozen config.

    Raises:
        RunError: if there is no run, or its config can't be read.
    """
    read_run_json(folder)
    file = folder / "config.yaml"
    try:
        config = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise RunError(f"{file} can't be read ({type(error).__name__}); restore it") from error
    if not isinstance(config, dict):
        raise RunError(f"{file} is damaged: it holds no mapping; restore it")
    return config


def read_checked(folder: Path, *, trust: Sequence[str]) -> Checked:
    """A run's frozen config, checked again: its `_target_`s are trusted no more than typed ones."""
    config = read_config(folder)
    choices = read_run_json(folder).get("choices") or {}
    try:
        return check_plain(config, choices=choices, trust=trust)
    except ConfigError as error:
        raise ConfigError(f"{folder / 'config.yaml'} can't be used:\n{error}") from error


def pick_device(accelerator: str) -> torch.device:
    """`auto` is CUDA where there is one.

    Raises:
        RunError: if gpu is asked for and there is none.
    """
    available = torch.cuda.is_available()
    if accelerator == "gpu" and not available:
        raise RunError("accelerator=gpu: no CUDA device was found; use accelerator=cpu")
    return torch.device("cuda" if available and accelerator != "cpu" else "cpu")


class ModelView:
    """A trained model for notebooks: evaluation mode, no gradients, images in [0, 1].

    Attributes:
        module: the LightningModule itself, in its own value range.
    """

    def __init__(self, module: GenerativeModule) -> None:
        self.module = module.eval().requires_grad_(False)

    def sample(
        self,
        num: int,
        *,
        seed: int = 0,
        noise: Tensor | None = None,
        y: Tensor | int | Sequence[int] | None = None,
        truncation: float | None = None,
    ) -> Tensor:
        """`num` new images `(num, C, H, W)` in [0, 1].

        Args:
            num: how many.
            seed: of the draw.
            noise: codes `(num, Z)`; drawn from the model's prior where None.
            y: for a conditional model, labels `(num,)`, or a class or classes to take in turn;
                all K in turn where None.
            truncation: as in `prior_codes`, where no noise is given.

        Raises:
            RunError: if the model draws no samples, takes no labels, or its prior can't be
                truncated.
        """
        if noise is None:
            noise = self.prior_codes(num, seed=seed, truncation=truncation)
        elif truncation is not None:
            raise RunError(f"truncation={truncation}: noise is given and taken as it is; drop one")
        self._require(Samples, "sample", "its codes have no prior; choose vae, wae or gan")
        labels = self._labels(y) if isinstance(y, Tensor) else {"y": self.class_labels(num, y)}
        given = {name: part for name, part in labels.items() if part is not None}
        return self._to_unit(self.module.sample(num, noise=noise, **given))  # type: ignore[operator]

    def prior_codes(self, num: int, *, seed: int = 0, truncation: float | None = None) -> Tensor:
        """Codes `(num, Z)` from the model's prior.

        Args:
            num: how many.
            seed: of the draw.
            truncation: t > 0 for N(0, 1) cut to [−t, t] in the place of N(0, 1); see `truncated`.

        Raises:
            RunError: if the model draws no samples, or its prior can't be truncated.
        """
        self._require(Samples, "sample", "its codes have no prior; choose vae, wae or gan")
        codes: Tensor = self.module.prior_codes(num, seed=seed)  # type: ignore[operator]
        if truncation is None:
            return codes
        if not self.module.standard_normal_prior:
            raise RunError(
                f"truncation={truncation}: cuts the prior N(0, I), and this "
                f"{type(self.module).__name__} has another one; leave truncation out"
            )
        try:
            return truncated(codes, truncation)
        except ValueError as error:
            raise RunError(str(error)) from error

    def class_labels(self, num: int, y: int | Sequence[int] | None = None) -> Tensor | None:
        """Labels `(num,)` for a conditional model; None for others.

        Args:
            num: how many.
            y: a class, or several that are taken in turn; all K, 0, 1, …, where None.

        Raises:
            RunError: if the model takes no labels, or has no such class.
        """
        if y is None:
            return self.module.class_labels(num) if isinstance(self.module, Conditional) else None
        asked = torch.as_tensor([y] if isinstance(y, int) else list(y))
        if not len(asked):
            raise RunError("y: must be a class (0, 1, …), a list of classes, or None, got []")
        return self._labels(asked)["y"][torch.arange(num, device=self.module.device) % len(asked)]

    def encode(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """Images `(B, C, H, W)` in [0, 1] to codes `(B, Z)`; `y` `(B,)` for a conditional model.

        Raises:
            RunError: if the model has no encoder, or labels are missing or not taken.
        """
        self._require(Encodes, "encode", "choose a model with an encoder")
        return self.module.encode(self._from_unit(x), **self._labels(y))  # type: ignore[operator]

    def decode(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        """Codes `(B, Z)` to images `(B, C, H, W)` in [0, 1]; `y` `(B,)` for a conditional model.

        Raises:
            RunError: if the model has no decoder, or labels are missing or not taken.
        """
        self._require(Decodes, "decode", "choose a model with a decoder")
        z = z.to(self.module.device)
        return self._to_unit(self.module.decode(z, **self._labels(y)))  # type: ignore[operator]

    def reconstruct(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """Images `(B, C, H, W)` in [0, 1] to reconstructions in [0, 1]; `y` as in `encode`.

        Raises:
            RunError: if the model reconstructs nothing, or labels are missing or not taken.
        """
        self._require(Reconstructs, "reconstruct", "choose an autoencoder or a VAE")
        images = self._from_unit(x)
        return self._to_unit(self.module.reconstruct(images, **self._labels(y)))  # type: ignore[operator]

    def _labels(self, y: Tensor | None) -> dict[str, Tensor]:
        """`y` as the argument that a conditional model takes."""
        module, name = self.module, type(self.module).__name__
        if not isinstance(module, Conditional):
            if y is not None:
                raise RunError(f"{name} is not conditional: leave out y")
            return {}
        if y is None:
            raise RunError(f"{name} is conditional: give the labels y, integers (B,)")
        wrong = y[(y < 0) | (y >= module.num_classes) | (y != y.long())]
        if len(wrong):
            raise RunError(
                f"y: labels must be whole numbers from 0 to {module.num_classes - 1}, "
                f"got {wrong[0].item()}"
            )
        return {"y": y.to(module.device)}

    def _require(self, protocol: type, verb: str, remedy: str) -> None:
        if not isinstance(self.module, protocol):
            raise RunError(f"{type(self.module).__name__} can't {verb}: {remedy}")

    def _to_unit(self, images: Tensor) -> Tensor:
        low, high = self.module.value_range
        return ((images - low) / (high - low)).clamp(0, 1)

    def _from_unit(self, images: Tensor) -> Tensor:
        low, high = self.module.value_range
        return images.to(self.module.device) * (high - low) + low


class Run:
    """A run on disk.

    Attributes:
        path: its folder.
    """

    def __init__(self, path: Path, *, trust: Sequence[str] = ()) -> None:
        self.path = path
        self._trust = tuple(trust)
        self._model: ModelView | None = None
        read_run_json(path)

    def __repr__(self) -> str:
        return f"Run({str(self.path)!r}, status={self.record['status']!r})"

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


def restore(
    checked: Checked, folder: Path, checkpoint: str
) -> tuple[GenerativeModule, dict[str, Any]]:
    """The model of a run with a checkpoint's weights and counters, and that checkpoint."""
    path = checkpoint_path(folder, checkpoint)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", GanvasWarning)  # they matter before training
        model = build_model(checked, build_data(checked), restoring=True)
    model.seed = checked.settings.seed
    content = load_weights(model, path)
    model.on_load_checkpoint(content)
    return model, content


def load_run(path: str | Path, *, trust: Sequence[str] = ()) -> Run:
    """A run from its folder.

    Args:
        path: the run's folder.
        trust: your own modules that its config may name.

    Raises:
        RunError: if there is no run, or its record is damaged.
    """
    return Run(Path(path).expanduser().resolve(), trust=trust)
