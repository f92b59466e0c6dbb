"""Spectral normalisation (Miyato et al. 2018, arXiv:1802.05957)."""

from __future__ import annotations

from torch import nn
from torch.nn.utils.parametrizations import spectral_norm


def spectrally_normalised(network: nn.Module) -> nn.Module:
    """The network itself, with W / σ(W) in the place of each convolution's and dense layer's W.

    σ(W) is the largest singular value of the weight as a matrix (of a convolution: output channels
    by all the rest), followed by one power iteration at each forward pass in training. Its two
    vectors are buffers: they are in the checkpoint, and an averaged network copies them.

    To be called once the weights have their initial values; a layer of zeros has no σ.
    """
    layers = [
        m for m in network.modules() if isinstance(m, nn.Conv2d | nn.ConvTranspose2d | nn.Linear)
    ]
    for layer in layers:
        spectral_norm(layer)
    return network
