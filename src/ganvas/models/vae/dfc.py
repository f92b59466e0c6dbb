"""The deep feature consistent variational autoencoder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from ganvas.models.vae.vae import VAE
from ganvas.nn.frozen import Frozen
from ganvas.types import Batch, LossTerms


class DFCVAE(VAE):
    """minimise loss + λ · Σ_l 1/(2 C_l H_l W_l) ‖Φ_l(x) − Φ_l(x̂)‖² (Hou et al. 2017).

    arXiv:1610.00291, section 3.2: Φ_l are the activations `(C_l, H_l, W_l)` of layer l of a frozen
    network, x̂ the mean image decoded from the sampled code. The loss is the rate alone by default;
    `loss=elbo` adds the distance between pixels. Distortion, rate and ELBO are reported as they
    are, whatever is trained.

    Deviation: any frozen network of images in [0, 1] in place of VGG-19; the paper's λ = 0.5 suits
    VGG's features of images in 0..255, which are larger by orders of magnitude than those of a
    classifier of images in [0, 1]. The decoder is any; the paper's upsamples by nearest neighbours,
    and without that reconstructions show a fine checker texture.

    Args:
        features: the frozen network.
        layers: names of its layers; a fault names those that there are.
        perceptual_weight: λ.
        vae: arguments of `VAE`.

    Raises:
        ValueError: if the weight is negative or a layer unknown.
    """

    monitor: ClassVar[str | None] = "val/loss"
    monitor_mode: ClassVar[str] = "min"
    higher_is_better: ClassVar[Mapping[str, bool]] = {**VAE.higher_is_better, "perceptual": False}

    def __init__(
        self, *, features: Frozen, layers: Sequence[str], perceptual_weight: float, **vae: Any
    ) -> None:
        super().__init__(**vae)
        if perceptual_weight < 0:
            raise ValueError(f"perceptual_weight must be at least 0, got {perceptual_weight}")
        self.features = features.layers(layers)
        self.perceptual_weight = perceptual_weight

    def perceptual(self, x: Tensor, image: Tensor) -> Tensor:
        """Σ_l ½ mean (Φ_l(x) − Φ_l(image))² for images `(B, C, H, W)` in [0, 1], `(B,)`."""
        with torch.no_grad():
            wanted = self.features(x)
        made = self.features(image)
        return 0.5 * sum((made[name] - wanted[name]).square().flatten(1).mean(1) for name in wanted)

    def loss_terms(self, batch: Batch) -> LossTerms:
        """The injected objective and the perceptual term, on one sampled code per image."""
        posterior = self.posterior(batch.x)
        z = posterior.sample(self.noise(batch, self.latent_dim))
        decoded = self.decoder(z)
        terms = self.objective_terms(self.outputs_of(batch, posterior, z, decoded=decoded))
        perceptual = self.perceptual(batch.x, self.likelihood.mean(decoded)).mean()
        return terms.plus("perceptual", perceptual, weight=self.perceptual_weight)
