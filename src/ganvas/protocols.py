"""What models, data, loggers and tools promise each other; nothing here knows a concrete class."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, cast, runtime_checkable

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor, nn

    from ganvas.types import Features, GaussianPosterior, ImageShape, Split, ValueRange

Schedule = Callable[[int], float]
"""A value that depends on the step (batches consumed so far)."""


@runtime_checkable
class Encodes(Protocol):
    """A model with an encoder."""

    def encode(self, x: Tensor) -> Tensor:
        """Images `(B, C, H, W)` to their codes `(B, Z)` (posterior means where there are any)."""


@runtime_checkable
class HasPosterior(Protocol):
    """A model whose encoder returns a distribution."""

    def posterior(self, x: Tensor) -> GaussianPosterior:
        """Images `(B, C, H, W)` to q(z|x)."""


@runtime_checkable
class HasLikelihood(Protocol):
    """A latent variable model whose p(x|z), p(z) and q(z|x) can be computed.

    The first and the last of a `Conditional` model are given labels `y` `(B,)` too.
    """

    def posterior(self, x: Tensor) -> GaussianPosterior:
        """Images `(B, C, H, W)` to q(z|x)."""

    def log_likelihood(self, x: Tensor, z: Tensor) -> Tensor:
        """log p(x|z) in nats, `(B,)`, for images `(B, C, H, W)` and codes `(B, Z)`."""

    def likelihood_kind(self) -> str:
        """What p(x|z) is a distribution over: see `ganvas.nn.likelihoods.Likelihood`."""

    def prior_density(self) -> Callable[[Tensor], Tensor]:
        """The map from codes `(B, Z)` to log p(z) in nats, `(B,)`."""


@runtime_checkable
class Decodes(Protocol):
    """A model with a decoder or generator."""

    def decode(self, z: Tensor) -> Tensor:
        """Codes `(B, Z)` to images `(B, C, H, W)` in the model's value range."""


@runtime_checkable
class Reconstructs(Protocol):
    """A model that maps an image to its reconstruction."""

    def reconstruct(self, x: Tensor) -> Tensor:
        """Images `(B, C, H, W)` to reconstructions of the same shape and value range."""


@runtime_checkable
class Corrupts(Protocol):
    """A model that was trained to restore images which a corruption has damaged."""

    def corrupt(self, x: Tensor, noise: Tensor) -> Tensor:
        """Images `(B, C, H, W)` in the model's value range to damaged ones, as in training.

        Args:
            x: images.
            noise: standard normal, of their shape; what they become is a function of it.
        """

    def corruption_words(self) -> str:
        """What the model was trained to undo, such as "gaussian (std 0.5)"."""


@runtime_checkable
class Samples(Protocol):
    """A model that draws new images."""

    def prior_codes(self, num: int, *, seed: int) -> Tensor:
        """Codes `(num, Z)` from the prior, a function of `seed` alone on one kind of device."""

    def sample(self, num: int, *, noise: Tensor | None = None, seed: int = 0) -> Tensor:
        """`num` new images `(num, C, H, W)` in the model's value range.

        Args:
            num: how many.
            noise: codes `(num, Z)`; drawn from the prior with `seed` where None.
            seed: of the draw.
        """


@runtime_checkable
class Adversarial(Protocol):
    """A model whose two sides play a game."""

    def critic_side(self) -> Mapping[str, Sequence[nn.Module]]:
        """Networks of the critic side under the name of the optimiser that trains them."""

    def generator_side(self) -> Mapping[str, Sequence[nn.Module]]:
        """Networks of the generator side under the name of the optimiser that trains them."""


@runtime_checkable
class Conditional(Protocol):
    """A model whose images depend on a class.

    Its `encode`, `decode` and `reconstruct` need `y`, integer labels `(B,)`; its `sample` takes
    `y` too, and cycles through the classes without.

    Attributes:
        num_classes: how many classes K there are.
    """

    num_classes: int

    def class_labels(self, num: int) -> Tensor:
        """Labels 0, 1, …, K − 1, 0, … `(num,)` on the model's device."""


def labels_for(model: object, y: Tensor | None) -> dict[str, Any]:
    """What a model's verbs take beside images or codes: labels `y` where it is `Conditional`."""
    return {"y": y} if isinstance(model, Conditional) else {}


@runtime_checkable
class Extracts(Protocol):
    """A network that measures images: features, and classes where it knows them, in one pass.

    Attributes:
        name: what its distances are called by: `fd_<name>`.
    """

    name: str

    def extract(self, x: Tensor) -> Features:
        """Images `(B, C, H, W)` in [0, 1] to features `(B, D)` and logits `(B, K)` or None."""


@runtime_checkable
class Transforms(Protocol):
    """A network that changes images before its first layer, such as their size.

    Attributes:
        transform: how, in words.
    """

    transform: str


class Encoder(Protocol):
    """Factory of a network from images to vectors: encoders and critics."""

    def __call__(self, *, image_shape: ImageShape, num_outputs: int) -> nn.Module:
        """A module from `(B, C, H, W)` to `(B, num_outputs)`."""


class Decoder(Protocol):
    """Factory of a network from vectors to images: decoders and generators."""

    def __call__(self, *, num_inputs: int, image_shape: ImageShape) -> nn.Module:
        """A module from `(B, num_inputs)` to `(B, C, H, W)`."""


class ImageSource(Protocol):
    """Where images come from; what a user's own data set implements (see `ganvas.data`)."""

    @property
    def image_shape(self) -> ImageShape:
        """(channels, height, width) of every image after decoding."""

    @property
    def num_classes(self) -> int | None:
        """Number of classes; 0 for unlabelled data; None where only the files can tell."""

    def count(self, split: Split) -> int | None:
        """Images in "train" or "test"; None where only the files could tell and they are absent."""

    def fingerprint(self) -> str:
        """A hash of the content; raises `DataError` where files are missing."""

    def read(self, split: Split) -> tuple[np.ndarray, np.ndarray | None]:
        """uint8 images `(N, C, H, W)` and integer labels `(N,)` or None.

        Float32 in [0, 1] takes the place of uint8 where 8 bits would lose too much.
        """


@runtime_checkable
class HasFactors(Protocol):
    """An `ImageSource` whose images were made from known factors of variation."""

    @property
    def factor_names(self) -> tuple[str, ...]:
        """Names of the F factors, e.g. ("shape", "scale", "orientation", "x", "y")."""

    @property
    def factor_sizes(self) -> tuple[int, ...]:
        """Number of values of each factor."""

    def factors(self, split: Split) -> np.ndarray:
        """int64 `(N, F)`: which value, from 0, each factor takes in each image of `read(split)`."""


@runtime_checkable
class LogsImages(Protocol):
    """A logger that shows pictures."""

    def log_images(self, name: str, image: np.ndarray, *, step: int) -> None:
        """One uint8 picture `(H, W, 3)` under `name`."""


class Recorder(Protocol):
    """Takes the figures and pictures of a run (the run record and every logger behind it)."""

    def log_metrics(
        self, values: Mapping[str, float], *, step: int, images_seen: int, seconds: float
    ) -> None:
        """Values by name at one step."""

    def log_trace(self, steps: Sequence[int], columns: Mapping[str, Sequence[float]]) -> None:
        """Loss parts of consecutive steps, NaN where a part was absent in a step."""

    def log_images(self, name: str, image: np.ndarray, *, step: int) -> None:
        """One uint8 picture `(H, W, 3)`, kept as `samples/<name>-<step>.png`."""

    def log_collapses(self, collapses: Sequence[Mapping[str, object]]) -> None:
        """All collapses of the run so far: mappings of `step`, `rule`, `reason` and `value`."""


@runtime_checkable
class TellsImages(Protocol):
    """A loader that knows which images a batch of training had."""

    def batch_images(self, step: int) -> tuple[int, int, list[int]]:
        """Epoch, position in it, and indices into the training split, of a step from 1."""


class Trainable(Protocol):
    """What callbacks may know of any model in training.

    Attributes:
        value_range: of the images that the model takes and makes.
        seed: of the run.
        step: training batches consumed.
        counters: `step`, `images_seen`, and what else the model counts.
        accumulate: batches per optimiser step.
        last_parts: scalar loss parts of the last step, on the device.
    """

    value_range: ValueRange
    seed: int
    counters: dict[str, int]
    accumulate: int
    last_parts: dict[str, Tensor]

    @property
    def step(self) -> int:
        """Training batches consumed."""

    @property
    def optimizer_names(self) -> Sequence[str]:
        """Names of the optimisers in Lightning's order; one empty name for a single one."""


def trainable(module: object) -> Trainable:
    """A Lightning module seen as `Trainable`; every model of ganvas is one."""
    return cast(Trainable, module)
