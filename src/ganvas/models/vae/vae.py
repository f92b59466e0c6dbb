"""The variational autoencoder."""

from __future__ import annotations

from ganvas.models.automatic import AutomaticModule
from ganvas.models.vae.variational import Variational
from ganvas.types import Batch, LossTerms


class VAE(Variational, AutomaticModule):
    """maximise E_q log p(x|z) − KL(q(z|x) ‖ N(0, I)) (Kingma & Welling 2014, arXiv:1312.6114).

    q(z|x) is a diagonal Gaussian; one code per image is drawn with z = mu + exp(log_var / 2) · ε.
    What exactly is minimised belongs to the injected loss.

    Args:
        image_shape: (C, H, W).
        latent_dim: width Z of the code.
        network: factories `encoder` (asked for 2·Z outputs: mu, then log_var) and `decoder`.
        likelihood: p(x|z) from the decoder's outputs.
        loss: from `VAEOutputs` to `LossTerms`.
        optimizer: factory of the optimiser.
    """

    def loss_terms(self, batch: Batch) -> LossTerms:
        """The injected objective on one sampled code per image."""
        return self.objective_terms(self.outputs(batch))
