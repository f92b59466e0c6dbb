"""An image into latent space by search: the code whose image is nearest to it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor

from ganvas.latent.options import within
from ganvas.latent.scene import BATCH
from ganvas.latent.search import (
    NUM,
    Found,
    Objective,
    Target,
    chosen_target,
    descend,
    encoded_target,
    milestones,
    squares,
)
from ganvas.latent.sheet import Sheet
from ganvas.latent.tool import Drawing, Tool
from ganvas.metrics.reconstruction import ROUNDING_MSE, psnr, squared_error
from ganvas.protocols import Decodes, Encodes, labels_for

if TYPE_CHECKING:
    from ganvas.latent.scene import Scene

COLUMNS, FRAMES, HELD = 5, 30, 10
"""Steps shown in the picture and in the animation, ends included; how long its last one stays."""


class Project(Tool):
    """The code whose image is nearest to a given one, found by gradient descent.

    min over z of ‖x − G(z)‖² + λ ‖z‖², by Adam from several starts of which the best is kept (Zhu
    et al. 2016, arXiv:1609.03552, sec. 3; Creswell & Bharath 2018, arXiv:1611.05644). Sums are over
    pixels in [0, 1], so that z is the mode of p(z|x) under x|z ~ N(G(z), λI) and z ~ N(0, I). Each
    image is searched for on its own, from the same starts.

    Args:
        steps: of Adam.
        lr: its rate at first.
        restarts: starts that are drawn from the prior.
        from_encoder: whether the encoder's code is one more start (Zhu et al., sec. 3.1, "hybrid").
        prior_weight: λ.
        feature_weight: of the squared distance of `features` in the objective.

    Raises:
        ValueError: for a value out of range.
    """

    needs: ClassVar[Sequence[type]] = (Decodes,)
    needs_features: ClassVar[bool] = True

    def __init__(
        self,
        *,
        steps: int,
        lr: float,
        restarts: int,
        from_encoder: bool,
        prior_weight: float,
        feature_weight: float,
    ) -> None:
        within("steps", steps, least=1, most=100_000)
        within("restarts", restarts, least=0, most=1000)
        if not 0 < lr < float("inf"):
            raise ValueError(f"lr must be positive, got {lr}; e.g. 0.1")
        if not restarts and not from_encoder:
            raise ValueError("restarts must be at least 1 where from_encoder is false, got 0")
        for name, weight in (("prior_weight", prior_weight), ("feature_weight", feature_weight)):
            if not 0 <= weight < float("inf"):
                raise ValueError(f"{name} must be at least 0, got {weight}; 0 switches it off")
        self.steps, self.lr, self.restarts = steps, lr, restarts
        self.from_encoder = from_encoder
        self.prior_weight, self.feature_weight = prior_weight, feature_weight

    def draw(self, scene: Scene) -> Drawing:
        """See the class."""
        self._check(scene.view.module)
        target = chosen_target(scene)
        encoded = encoded_target(scene, target)
        found = self._search(scene, target, self._starts(scene, encoded, num=len(target.x)))
        again = None if encoded is None else scene.decode(encoded, target.y)
        errors = found.errors[-1]
        return Drawing(
            _sheet(target, found, again),
            values=_values(scene.view.module, target, found, again),
            tensors={
                "targets": target.x,
                "codes": found.codes[-1].cpu(),
                "images": found.images[-1],
                "errors": errors,
            },
            inputs=target.names,
            notes=[*target.notes, *self._notes(scene.view.module, found)],
            frames=_frames(target, found),
        )

    def _check(self, model: Any) -> None:
        """The options suit the model."""
        name = type(model).__name__
        if self.from_encoder and not isinstance(model, Encodes):
            raise ValueError(
                f"from_encoder must be false for {name}, which has no encoder; leave it out"
            )
        if self.prior_weight and not model.standard_normal_prior:
            raise ValueError(
                f"prior_weight weighs the prior N(0, I), and {name} has another one or none, got "
                f"{self.prior_weight}; set it to 0"
            )

    def _starts(self, scene: Scene, encoded: Tensor | None, *, num: int) -> Tensor:
        """Codes `(N, R, Z)`: the same random ones for all images, then each one's own."""
        parts = []
        if self.restarts:  # beyond the codes that images=random shows, which would be found at once
            drawn = scene.noise(NUM + self.restarts).z[NUM:]
            parts.append(drawn.expand(num, *drawn.shape))
        if self.from_encoder:
            assert encoded is not None
            parts.append(encoded[:, None])
        return torch.cat(parts, 1)

    def _search(self, scene: Scene, target: Target, starts: Tensor) -> Found:
        """From all starts of all images; of each image the best is kept."""
        kept = sorted({*milestones(self.steps, FRAMES), *milestones(self.steps, COLUMNS)})
        num, restarts = starts.shape[:2]
        codes, values = [], []
        for rows in torch.arange(num * restarts).split(BATCH):
            objective = self._objective(scene, target, rows // restarts)
            start = starts.flatten(0, 1)[rows]
            path, value = descend(objective, start, steps=self.steps, lr=self.lr, kept=kept)
            codes.append(path)
            values.append(value[-1])
        best = torch.cat(values).unflatten(0, (num, restarts)).argmin(1)
        paths = torch.cat(codes, 1).unflatten(1, (num, restarts))
        chosen = paths[:, torch.arange(num, device=best.device), best]
        images = torch.stack([scene.decode(z, target.y) for z in chosen])
        errors = torch.stack([squared_error(target.x, shown) for shown in images])
        return Found(chosen, images, errors, kept)

    def _objective(self, scene: Scene, target: Target, rows: Tensor) -> Objective:
        """Of codes `(M, Z)` that are to become these images."""
        model: Any = scene.view.module
        x = target.x[rows].to(model.device)
        given = labels_for(model, None if target.y is None else target.y[rows].to(model.device))
        low, high = model.value_range
        extractor = scene.subject.extractor if self.feature_weight else None
        features = None if extractor is None else extractor(x).vectors

        def objective(z: Tensor) -> Tensor:
            images = (model.decode(z, **given) - low) / (high - low)
            value = squares(images - x)
            if self.prior_weight:
                value = value + self.prior_weight * squares(z)
            if extractor is not None:
                distance = squares(extractor(images.clamp(0, 1)).vectors - features)
                value = value + self.feature_weight * distance
            return value

        return objective

    def _notes(self, model: Any, found: Found) -> list[str]:
        starts = f"{self.restarts} random starts" if self.restarts else ""
        own = "the encoder's code" if self.from_encoder else ""
        text = (
            f"best of {' and '.join(filter(None, [starts, own]))}, {self.steps} steps of Adam "
            f"(lr {self.lr:g}) on the squared error of pixels"
        )
        if self.prior_weight:
            text += f" + {self.prior_weight:g} ‖z‖²"
        if self.feature_weight:
            text += f" + {self.feature_weight:g} squared distance of features"
        notes = [text + "; each panel is the best so far of the start that ended best"]
        notes.append("MSE: mean over pixels in [0, 1]; dB: PSNR")
        if model.standard_normal_prior:
            width = found.codes.shape[2]
            notes.append(
                f"codes of the prior N(0, I) have norms ‖z‖ near √{width} = {width**0.5:.3g}"
            )
        return notes


def _sheet(target: Target, found: Found, encoded: Tensor | None) -> Sheet:
    """A row for each image: from the start to the result, and what is still wrong."""
    shown = milestones(found.steps[-1], COLUMNS)
    at = [found.steps.index(step) for step in shown]
    rows, captions = [], []
    for i, x in enumerate(target.x):
        made = [] if encoded is None else [encoded[i]]
        path = [found.images[k, i] for k in at]
        rows.append([x, *made, *path, (path[-1] - x).abs()])
        captions.append(["", *(_caption(x, image) for image in [*made, *path])])
        captions[-1][-1] += f"\n‖z‖ {found.codes[-1, i].norm().item():.2f}"
    encoder = [] if encoded is None else ["encoder"]
    steps = [f"step {step}" for step in shown[1:-1]]
    first = 1 + len(encoder)
    return Sheet(
        "Search in latent space for the code of each target",
        rows,
        row_labels=target.names,
        column_labels=["target", *encoder, "start", *steps, "result", "|difference|"],
        captions=captions,
        marked=frozenset((i, 0) for i in range(len(rows))),
        bars=(*range(1, first + 1), first + len(shown) - 1),
    )


def _caption(x: Tensor, image: Tensor) -> str:
    error = squared_error(x[None], image[None])
    return f"MSE {error.item():.4f}\n{psnr(error, least_mse=ROUNDING_MSE).item():.1f} dB"


def _frames(target: Target, found: Found) -> list[Sheet]:
    """The search by its steps, images side by side; the result stays a while."""
    columns = range(len(target.x))
    frames = [
        Sheet(
            f"Step {step} of {found.steps[-1]}",
            [list(target.x), list(images), list((images - target.x).abs())],
            row_labels=["target", "search", "|difference|"],
            captions=[[], [f"MSE {error:.4f}" for error in errors.tolist()], []],
            marked=frozenset((0, c) for c in columns),
        )
        for step, images, errors in zip(found.steps, found.images, found.errors, strict=True)
    ]
    return frames + frames[-1:] * HELD


def _values(model: Any, target: Target, found: Found, encoded: Tensor | None) -> dict[str, Any]:
    """Means, and the figures of each image."""
    errors, codes = found.errors[-1], found.codes[-1]
    decibel = psnr(errors, least_mse=ROUNDING_MSE)
    values: dict[str, Any] = {
        "mean_error": errors.mean().item(),
        "mean_psnr": decibel.mean().item(),
        "mean_start_error": found.errors[0].mean().item(),
    }
    if encoded is not None:
        values["mean_encoder_error"] = squared_error(target.x, encoded).mean().item()
    values["mean_norm"] = codes.norm(dim=1).mean().item()
    if model.standard_normal_prior:
        values["sqrt_dim"] = codes.shape[1] ** 0.5
    names = list(target.names)
    for i, name in enumerate(names):
        key = name if names.count(name) == 1 else f"{name}, number {i}"
        values[key] = f"error {errors[i]:.4g}, {decibel[i]:.2f} dB, ‖z‖ {codes[i].norm():.3g}"
        if target.true is not None:
            values[key] += f", {(codes[i] - target.true[i]).norm():.3g} from the true code"
    return values
