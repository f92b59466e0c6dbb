"""Networks that are told the class: conditions around any generator and any critic.

A condition is a module that builds its network by the ordinary factory and takes labels `y`
`(B,)` beside what the network takes. The two sides' conditions are independent of each other.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm as normalised

if TYPE_CHECKING:
    from ganvas.protocols import Decoder, Encoder
    from ganvas.types import ImageShape

BatchNorm = nn.BatchNorm1d | nn.BatchNorm2d


def required(y: Tensor | None) -> Tensor:
    """The labels themselves, int64.

    Raises:
        ValueError: if there are none.
    """
    if y is None:
        raise ValueError("y must be integer labels (B,), got None: a conditional model needs them")
    return y.long()


def with_class(z: Tensor, y: Tensor | None, *, num_classes: int) -> Tensor:
    """Codes `(B, Z)` and labels `(B,)`, one-hot times √K, side by side: `(B, Z + K)`.

    So an entry of the label has mean square 1, as one of the code has; a bare one-hot label is
    drowned by the code, and learnt several times slower.
    """
    classes = torch.eye(num_classes, dtype=z.dtype, device=z.device)
    return torch.cat([z, math.sqrt(num_classes) * classes[required(y)]], 1)


def label_planes(*, num_classes: int, image_shape: ImageShape, std: float) -> nn.Embedding:
    """A learned plane of `H·W` pixels for each class, drawn from N(0, std²) at first."""
    planes = nn.Embedding(num_classes, image_shape[1] * image_shape[2])
    nn.init.normal_(planes.weight, std=std)
    return planes


def with_plane(x: Tensor, y: Tensor | None, *, planes: nn.Embedding) -> Tensor:
    """Images `(B, C, H, W)` with the planes of their labels `(B,)`: `(B, C + 1, H, W)`."""
    return torch.cat([x, planes(required(y)).view(-1, 1, *x.shape[2:])], 1)


class ConcatenatedGenerator(nn.Module):
    """G(z, y): noise and one-hot label are one input (Mirza & Osindero 2014, arXiv:1411.1784).

    Deviation: the label is scaled, see `with_class`, and has no layer of its own.

    Args:
        factory: of the network; it is asked for `num_inputs` + K inputs.
        num_classes: K.
        num_inputs: width Z of the noise.
        image_shape: (C, H, W).
    """

    def __init__(
        self, factory: Decoder, *, num_classes: int, num_inputs: int, image_shape: ImageShape
    ) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.network = factory(num_inputs=num_inputs + num_classes, image_shape=image_shape)

    def forward(self, z: Tensor, y: Tensor | None) -> Tensor:
        """Noise `(B, Z)` with labels `(B,)` to images `(B, C, H, W)`."""
        return self.network(with_class(z, y, num_classes=self.num_classes))


class ConditionalBatchNorm(nn.Module):
    """(x − μ) / √(σ² + ε) · γ_y + β_y with a scale and a shift for each class.

    Batch normalisation in the place of Dumoulin et al.'s instance normalisation (2017,
    arXiv:1610.07629, eq. 5), a table in the place of de Vries et al.'s network (2017,
    arXiv:1707.00683, eq. 6), as Miyato & Koyama (2018, arXiv:1802.05637) have it. μ and σ² are
    those of the whole batch. All classes begin with the scale of the layer replaced, and with its
    shift but for a draw from N(0, spread²).

    Deviation: that draw. Classes that begin alike are told apart only as fast as the learning rate
    allows, which is several times slower; the concatenated label's share is 0.3 or so.

    Args:
        norm: the layer to replace.
        num_classes: K.
        spread: standard deviation of the first shifts over classes; 0 for classes that are alike.

    Attributes:
        y: labels `(B,)` of the pass that is under way.
    """

    def __init__(self, norm: BatchNorm, *, num_classes: int, spread: float) -> None:
        super().__init__()
        self.norm = type(norm)(
            norm.num_features,
            eps=norm.eps,
            momentum=norm.momentum,
            affine=False,
            track_running_stats=norm.track_running_stats,
        )
        self.scale = nn.Embedding(num_classes, norm.num_features)
        self.shift = nn.Embedding(num_classes, norm.num_features)
        nn.init.ones_(self.scale.weight)
        nn.init.normal_(self.shift.weight, std=spread)
        if norm.affine:
            with torch.no_grad():
                self.scale.weight.copy_(norm.weight.expand_as(self.scale.weight))
                self.shift.weight.add_(norm.bias)
        self.y: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        """`(B, C, …)` to the same shape."""
        y = required(self.y)
        shape = (len(x), -1, *[1] * (x.dim() - 2))
        return self.norm(x) * self.scale(y).view(shape) + self.shift(y).view(shape)


class BatchNormGenerator(nn.Module):
    """G(z, y): every batch norm of the network has a scale and a shift for each class.

    The label reaches the network there alone (Miyato & Koyama 2018, arXiv:1802.05637, sec. 4.1).

    Args:
        factory: of the network.
        num_classes: K.
        num_inputs: width Z of the noise.
        image_shape: (C, H, W).
        spread: see `ConditionalBatchNorm`.

    Raises:
        ValueError: if the network has no batch norm, or the spread is below 0.
    """

    def __init__(
        self,
        factory: Decoder,
        *,
        num_classes: int,
        num_inputs: int,
        image_shape: ImageShape,
        spread: float,
    ) -> None:
        super().__init__()
        if spread < 0:
            raise ValueError(f"spread must be at least 0, got {spread}; 0.3 tells classes apart")
        self.network = factory(num_inputs=num_inputs, image_shape=image_shape)
        for parent in list(self.network.modules()):
            for name, child in list(parent.named_children()):
                if isinstance(child, BatchNorm):
                    layer = ConditionalBatchNorm(child, num_classes=num_classes, spread=spread)
                    setattr(parent, name, layer)
        if not self._layers():
            raise ValueError(
                "generator_condition=batch_norm needs a generator with batch normalisation, and "
                f"{type(self.network).__name__} has none; choose "
                "generator_condition=concatenation, or a network with it, such as network=dcgan"
            )

    def _layers(self) -> list[ConditionalBatchNorm]:
        return [m for m in self.modules() if isinstance(m, ConditionalBatchNorm)]

    def forward(self, z: Tensor, y: Tensor | None) -> Tensor:
        """Noise `(B, Z)` with labels `(B,)` to images `(B, C, H, W)`."""
        layers = self._layers()
        for layer in layers:
            layer.y = required(y)
        try:
            return self.network(z)
        finally:
            for layer in layers:
                layer.y = None


class ConcatenatedCritic(nn.Module):
    """D(x, y): a learned plane for each class is one more channel of the image.

    The condition is part of the critic's input as in Mirza & Osindero 2014 (arXiv:1411.1784,
    sec. 3.2), in the form that serves convolutions, too (Denton et al. 2015, arXiv:1506.05751).

    Args:
        factory: of the network; it is asked for images of C + 1 channels.
        num_classes: K.
        image_shape: (C, H, W).
        num_outputs: width of the result.
    """

    def __init__(
        self, factory: Encoder, *, num_classes: int, image_shape: ImageShape, num_outputs: int
    ) -> None:
        super().__init__()
        channels, height, width = image_shape
        self.label_plane = label_planes(num_classes=num_classes, image_shape=image_shape, std=1.0)
        self.network = factory(image_shape=(channels + 1, height, width), num_outputs=num_outputs)

    def forward(self, x: Tensor, y: Tensor | None) -> Tensor:
        """Images `(B, C, H, W)` with labels `(B,)` to `(B, num_outputs)`."""
        return self.network(with_plane(x, y, planes=self.label_plane))


class ProjectionCritic(nn.Module):
    """D(x, y) = ψ(φ(x)) + ⟨v_y, φ(x)⟩ (Miyato & Koyama 2018, arXiv:1802.05637, eq. 3).

    φ is the ordinary network with `num_features` outputs, through a leaky ReLU; ψ is linear.
    Deviation: the paper's φ ends in a sum over positions, ours in whatever the network does.

    Args:
        factory: of the network; it is asked for `num_features` outputs.
        num_classes: K.
        image_shape: (C, H, W).
        num_outputs: 1, the logit.
        num_features: width of φ.
        spectral_norm: whether ψ and v have spectral norm 1, as in the paper; that of φ is an
            option of the network.

    Raises:
        ValueError: if num_features is under 1.
    """

    def __init__(
        self,
        factory: Encoder,
        *,
        num_classes: int,
        image_shape: ImageShape,
        num_outputs: int,
        num_features: int,
        spectral_norm: bool,
    ) -> None:
        super().__init__()
        assert num_outputs == 1, "a projection adds to one logit"
        if num_features < 1:
            raise ValueError(f"num_features must be at least 1, got {num_features}")
        self.network = factory(image_shape=image_shape, num_outputs=num_features)
        self.activation = nn.LeakyReLU(0.2)
        self.linear = nn.Linear(num_features, 1)
        self.embedding = nn.Embedding(num_classes, num_features)
        nn.init.normal_(self.embedding.weight, std=num_features**-0.5)
        if spectral_norm:
            normalised(self.linear)
            normalised(self.embedding)

    def forward(self, x: Tensor, y: Tensor | None) -> Tensor:
        """Images `(B, C, H, W)` with labels `(B,)` to logits `(B, 1)`."""
        features = self.activation(self.network(x))
        return self.linear(features) + (self.embedding(required(y)) * features).sum(1, keepdim=True)
