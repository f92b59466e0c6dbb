"""What every tool is: a class that draws one picture of a trained model."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from torch import Tensor, nn

from ganvas.protocols import (
    Corrupts,
    Decodes,
    Encodes,
    HasLikelihood,
    HasPosterior,
    Reconstructs,
    Samples,
)

if TYPE_CHECKING:
    from ganvas.latent.scene import Scene
    from ganvas.latent.sheet import Picture

LACKS: Mapping[type, str] = {
    Encodes: "has no encoder; choose an autoencoder or a VAE",
    Decodes: "makes no image of a code alone; choose another model",
    Reconstructs: "reconstructs nothing; choose an autoencoder or a VAE",
    Corrupts: "was trained to restore nothing; train model=denoising_ae with a corruption=…",
    HasPosterior: "has no q(z|x); choose a VAE",
    HasLikelihood: "has no p(x|z), p(z) and q(z|x); choose a VAE",
    Samples: "draws no samples; choose a VAE, a WAE or a GAN",
}
"""What is said of a model that does not implement a protocol (after "model=dcgan ")."""


@dataclass(frozen=True)
class Drawing:
    """What a tool made.

    Attributes:
        picture: to be shown.
        values: what was measured on the way, numbers and short texts by name: said on the command
            line, kept beside the picture.
        tensors: what the picture shows, by name, for use in Python.
        inputs: names of what was given, such as "test 7" or a file's.
        notes: what a reader of the picture must know, such as how given images were changed.
        frames: of the animation that goes with it.
        seconds: that a frame is shown.
    """

    picture: Picture
    values: Mapping[str, Any] = field(default_factory=dict)
    tensors: Mapping[str, Tensor] = field(default_factory=dict)
    inputs: Sequence[str] = ()
    notes: Sequence[str] = ()
    frames: Sequence[Picture] = ()
    seconds: float = 0.15


class Tool(ABC):
    """Abstract: draws one picture of a trained model.

    Options are arguments of the constructor, which raises ValueError (`rule, value; remedy`, each
    beginning with the option's name) for a value out of range. Names of options must not be those
    of `conf/latent.yaml`.

    Attributes:
        needs: protocols that the model must implement.
        draws_images: whether points of the plane, which are no images, are refused.
        needs_features: whether the tool looks at images through the network of `features`.
    """

    needs: ClassVar[Sequence[type]] = ()
    draws_images: ClassVar[bool] = True
    needs_features: ClassVar[bool] = False

    @property
    def name(self) -> str:
        """What files and messages call the tool."""
        return type(self).__name__.lower()

    def unfit(self, model: type[nn.Module]) -> str | None:
        """Why the tool can't be used on such a model (after "model=dcgan "), with the remedy."""
        return next((LACKS[p] for p in self.needs if not issubclass(model, p)), None)

    @abstractmethod
    def draw(self, scene: Scene) -> Drawing:
        """The picture, a function of the scene alone.

        Raises:
            ValueError: what was given can't be drawn so: the rule, the value, the remedy.
        """
