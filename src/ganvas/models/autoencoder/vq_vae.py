"""The autoencoder with discrete codes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Protocol, TypedDict

import torch
from torch import Tensor, nn

from ganvas.losses.reconstruction import AutoencoderOutputs, ReconstructionLoss
from ganvas.models.automatic import AutomaticModule
from ganvas.nn.quantizer import Quantizer, perplexity, straight_through, usage
from ganvas.types import Batch, ImageShape, LossTerms


class MapEncoder(Protocol):
    """Factory of a network from images to maps of vectors."""

    def __call__(self, *, image_shape: ImageShape, num_outputs: int) -> nn.Module:
        """A module from `(B, C, H, W)` to `(B, num_outputs, h, w)`."""


class MapDecoder(Protocol):
    """Factory of a network from maps of vectors to images."""

    def __call__(self, *, num_inputs: int, image_shape: ImageShape) -> nn.Module:
        """A module from `(B, num_inputs, h, w)` to `(B, C, H, W)`."""


class MapNetworks(TypedDict):
    """The `network` config of models whose codes are maps."""

    map_encoder: MapEncoder
    map_decoder: MapDecoder


class VQVAE(AutomaticModule):
    """minimise E_x d(x, sigmoid(decoder(q))) + β · mean over positions ‖z − sg[q]‖².

    z = encoder(x) is a map of vectors, q the nearest codes; the decoder's gradient goes to z past
    the quantiser (van den Oord et al. 2017, arXiv:1711.00937, eq. 3). The codebook follows moving
    averages (appendix A.1) in place of the second term of eq. 3; dead codes restart, see
    `Quantizer`. It moves once with every training batch, also inside an accumulation window.

    Codes `(B, D·h·w)` are the quantised maps, flattened. There is no prior, so nothing is sampled.
    Parts: `perplexity` and `codes_used` are of one batch (on each rank), so their means over a
    split depend on the batch size.

    Args:
        network: factories `map_encoder` and `map_decoder`.
        loss: distance d, from outputs and images to `LossTerms`.
        num_train: training images.
        num_codes: size K of the codebook.
        code_dim: width D of a code.
        commitment: β.
        decay: of the codebook's averages.
        epsilon: of the smoothing of their counts.
        restart_threshold: uses per batch under which a code restarts; 0 for never.
        base: `image_shape` and `optimizer`.

    Raises:
        ValueError: for a value out of range, or more codes than there are vectors to quantise.
    """

    monitor: ClassVar[str | None] = "val/loss"
    higher_is_better: ClassVar[Mapping[str, bool]] = dict.fromkeys(
        ("loss", "mse", "l1", "bce", "commitment"), False
    )

    def __init__(
        self,
        *,
        network: MapNetworks,
        loss: ReconstructionLoss,
        num_train: int,
        num_codes: int,
        code_dim: int,
        commitment: float,
        decay: float,
        epsilon: float,
        restart_threshold: float,
        **base: Any,
    ) -> None:
        super().__init__(**base)
        if commitment < 0:
            raise ValueError(f"commitment must be at least 0, got {commitment}")
        self.quantizer = Quantizer(
            num_codes=num_codes,
            code_dim=code_dim,
            decay=decay,
            epsilon=epsilon,
            restart_threshold=restart_threshold,
        )
        self.encoder = network["map_encoder"](image_shape=self.image_shape, num_outputs=code_dim)
        self.decoder = network["map_decoder"](num_inputs=code_dim, image_shape=self.image_shape)
        self.loss, self.commitment = loss, commitment
        self.code_shape = self._code_shape()
        self.latent_dim = self.code_shape.numel()
        num_vectors = num_train * self.latent_dim // code_dim
        if num_codes > num_vectors:
            raise ValueError(
                f"num_codes must be at most {num_vectors}, the vectors of all {num_train} training "
                f"images, got {num_codes}; choose a smaller model.num_codes"
            )

    def _code_shape(self) -> torch.Size:
        """(D, h, w), from one black image."""
        with torch.no_grad():
            shape = self.encoder.eval()(torch.zeros(1, *self.image_shape)).shape[1:]
        self.encoder.train()
        return shape

    def networks(self) -> Mapping[str, nn.Module]:
        """Encoder and decoder; the codebook is not trained by gradients."""
        return {"encoder": self.encoder, "decoder": self.decoder}

    def loss_terms(self, batch: Batch) -> LossTerms:
        """Distance and commitment."""
        z = self.encoder(batch.x)
        return self._terms(batch.x, z, self.quantizer(z))

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """As `loss_terms`; then the codebook moves."""
        del batch_idx
        z = self.encoder(batch.x)
        indices = self.quantizer(z)
        terms = self._terms(batch.x, z, indices)
        scores = self.noise(batch, *indices.shape[1:])
        self.quantizer.update(z, indices, scores=scores)
        self.advance(batch, {"loss": terms.total, **terms.parts})
        return terms.total

    def _terms(self, x: Tensor, z: Tensor, indices: Tensor) -> LossTerms:
        z = z.float()
        codes = self.quantizer.lookup(indices)
        logits = self.decoder(straight_through(z, codes))
        terms = self.loss(AutoencoderOutputs(codes.flatten(1), logits), x, step=self.step)
        distance = (z - codes).square().sum(1).mean()
        terms = terms.plus("commitment", distance, weight=self.commitment)
        counts = usage(indices, num_codes=len(self.quantizer.codebook))
        used = {"perplexity": perplexity(counts), "codes_used": (counts > 0).float().sum()}
        return LossTerms(terms.total, {**terms.parts, **used})

    def indices(self, x: Tensor) -> Tensor:
        """Images `(B, C, H, W)` in [0, 1] to the indices of their codes, int64 `(B, h, w)`."""
        return self.quantizer(self.encoder(x))

    def encode(self, x: Tensor) -> Tensor:
        """Images `(B, C, H, W)` in [0, 1] to their quantised codes `(B, D·h·w)`."""
        return self.quantizer.lookup(self.indices(x)).flatten(1)

    def decode(self, z: Tensor) -> Tensor:
        """Codes `(B, D·h·w)`, taken as they are, to images `(B, C, H, W)` in [0, 1]."""
        return self.decoder(z.unflatten(1, self.code_shape)).sigmoid()

    def reconstruct(self, x: Tensor) -> Tensor:
        """Images `(B, C, H, W)` to their reconstructions in [0, 1]."""
        return self.decode(self.encode(x))
