"""Models whose mathematics is known in closed form, and scenes around them for tests of tools.

An image is c + Σ_j s_j z_j w_j, and its code z_j = w_j · (x − c) / s_j, with orthonormal w_j
`(Z, P)`, scales s_j and c = 0.5; with a class y, y/20 is added to all pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from evaluation.subjects import CLASSES, InMemory, image_data
from ganvas.data import ImageData
from ganvas.data.sources.digits import Digits
from ganvas.evaluation.priors import Given, GivenPrior, OwnPrior
from ganvas.evaluation.subject import Options, Subject
from ganvas.latent.inputs import Request
from ganvas.latent.scene import Scene
from ganvas.models.base import GenerativeModule
from ganvas.models.view import ModelView
from ganvas.nn.extractor import Extractor
from ganvas.protocols import Conditional, labels_for
from ganvas.types import Batch, GaussianPosterior, ImageShape, Split
from models.tiny import SHAPE

CENTRE = 0.5


def directions(num: int, *, shape: ImageShape = SHAPE, seed: int = 0) -> Tensor:
    """Orthonormal directions `(num, P)` in images of `shape`."""
    values = np.random.default_rng(seed).standard_normal((int(np.prod(shape)), num))
    return torch.from_numpy(np.linalg.qr(values)[0].T.copy()).float()


class Linear(GenerativeModule):
    """Abstract: the matrices.

    Args:
        latent_dim: Z.
        image_shape: of images.
        scales: s_j, all 1 where None.
    """

    def __init__(
        self,
        latent_dim: int = 3,
        *,
        image_shape: ImageShape = SHAPE,
        scales: Sequence[float] | None = None,
    ) -> None:
        super().__init__(image_shape=image_shape)
        self.latent_dim = latent_dim
        self.register_buffer("w", directions(latent_dim, shape=image_shape))
        self.register_buffer("s", torch.tensor(scales or [1.0] * latent_dim))
        self.decoded = 0

    def to_code(self, x: Tensor) -> Tensor:
        return (x.flatten(1) - CENTRE) @ self.w.T / self.s

    def to_image(self, z: Tensor) -> Tensor:
        """Counts the images that were asked for."""
        self.decoded += len(z)
        return (CENTRE + (z * self.s) @ self.w).unflatten(1, self.image_shape)

    def networks(self) -> Mapping[str, nn.Module]:
        return {}

    def evaluation_parts(self, batch: Batch) -> Mapping[str, Tensor]:
        return {}

    def training_parts(self, batch: Batch) -> Mapping[str, Tensor]:
        return {}


class LinearAE(Linear):
    """Encoder and decoder, no prior."""

    def encode(self, x: Tensor) -> Tensor:
        return self.to_code(x)

    def decode(self, z: Tensor) -> Tensor:
        return self.to_image(z)

    def reconstruct(self, x: Tensor) -> Tensor:
        return self.decode(self.encode(x))


class Sampled:
    """A prior N(0, I), whose codes are decoded, classes in turn."""

    standard_normal_prior = True

    def prior_codes(self: Any, num: int, *, seed: int) -> Tensor:
        return self.prior_noise(num, self.latent_dim, seed=seed)

    def sample(
        self: Any, num: int, *, noise: Tensor | None = None, seed: int = 0, y: Tensor | None = None
    ) -> Tensor:
        codes = self.prior_codes(num, seed=seed) if noise is None else noise
        if isinstance(self, Conditional) and y is None:
            y = self.class_labels(num)
        return self.decode(codes, **labels_for(self, y))


class LinearVAE(Sampled, LinearAE):
    """q(z|x) = N(code, diag(variances)), p(z) = N(0, I).

    Args:
        variances: of q(z|x), all 0.1 where None.
        linear: arguments of `Linear`.
    """

    def __init__(
        self, latent_dim: int = 3, *, variances: Sequence[float] | None = None, **linear: Any
    ) -> None:
        super().__init__(latent_dim, **linear)
        self.register_buffer("variances", torch.tensor(variances or [0.1] * latent_dim))

    def posterior(self, x: Tensor) -> GaussianPosterior:
        return GaussianPosterior(self.to_code(x), self.variances.log().expand(len(x), -1))


class LinearGAN(Sampled, Linear):
    """A generator of images in [−1, 1] from N(0, I), without an encoder."""

    value_range = (-1.0, 1.0)

    def decode(self, z: Tensor) -> Tensor:
        return 2 * self.to_image(z) - 1


class OfClasses(Linear):
    """Abstract: y/20 is added to all pixels, and taken away before they are encoded."""

    num_classes = CLASSES

    def class_labels(self, num: int) -> Tensor:
        return torch.arange(num) % self.num_classes

    def shift(self, y: Tensor | None) -> Tensor:
        assert y is not None, "a conditional model is told the class"
        return y[:, None, None, None] / 20


class ConditionalVAE(Sampled, OfClasses):
    """`LinearVAE` of images with a class."""

    def posterior(self, x: Tensor, y: Tensor | None = None) -> GaussianPosterior:
        mu = self.to_code(x - self.shift(y))
        return GaussianPosterior(mu, torch.full_like(mu, 0.1).log())

    def encode(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        return self.posterior(x, y).mu

    def decode(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        return self.to_image(z) + self.shift(y)

    def reconstruct(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        return self.decode(self.encode(x, y), y)


class ConditionalGAN(Sampled, OfClasses):
    """`LinearGAN` of images with a class."""

    value_range = (-1.0, 1.0)

    def decode(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        return 2 * (self.to_image(z) + self.shift(y)) - 1


def class_images(num: int, *, seed: int = 0, shape: ImageShape = SHAPE) -> np.ndarray:
    """uint8 `(num, *shape)`: grey noise, brighter by 60 in row i mod 3, which is the class."""
    images = np.random.default_rng(seed).integers(60, 160, (num, *shape))
    for i, image in enumerate(images):
        image[:, i % CLASSES] += 60
    return images.astype(np.uint8)


def class_data(**options: Any) -> ImageData:
    """60 training (10 of them for validation) and 40 test `class_images`, classes in turn."""
    source = InMemory(class_images(60, seed=1), class_images(40, seed=2))
    return image_data(source, **options)


def digits() -> ImageData:
    """scikit-learn's 8×8 digits, prepared."""
    return image_data(Digits())  # type: ignore[arg-type]


def scene(
    model: GenerativeModule,
    images: Any = None,
    *,
    split: Split = "test",
    y: int | Sequence[int] | None = None,
    invert: bool = False,
    seed: int = 0,
    data: ImageData | Callable[[], ImageData] | None = None,
    prior: GivenPrior | None = None,
    extractor: Extractor | None = None,
    folder: Path = Path("no-such-run"),
) -> Scene:
    """What a tool sees of a model.

    Args:
        model: to look at.
        images: list of positions, files, …; "random"; None. As are `split`, `y`, `invert`, `seed`
            in `Request`.
        data: prepared, or what makes it; `class_data()` where None.
        prior: of random codes; the model's own where None.
        extractor: of features, for tools that need them.
        folder: of the run.
    """

    def load_data() -> ImageData:
        if data is None:
            return class_data()
        return data if isinstance(data, ImageData) else data()

    def load_subject() -> Subject:
        options = Options(seed=seed)
        return Subject(model.eval(), made.data, split=split, options=options, extractor=extractor)

    made = Scene(
        folder,
        Request(images=images, split=split, y=y, invert=invert, seed=seed),
        load_view=lambda: ModelView(model),
        load_data=load_data,
        load_codes=lambda: Given(prior or OwnPrior(), model),
        load_subject=load_subject,
    )
    return made
