"""The IWAE bound of 1,000 images with K = 5,000 codes each: ours against pythae's `get_nll`.

Both have the very same dense network of MNIST's size (784-400-20). pythae takes one image after
another, encodes it anew for every 100 codes and keeps graphs for gradients; it would take minutes,
so it is given the first few images and the seconds of an image are compared. Its images are taken
between our blocks, so that a busy machine hits both alike.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
from torch import Tensor

from ganvas.evaluation.likelihood import Importance
from ganvas.losses.elbo import ElboLoss
from ganvas.models.vae.vae import VAE
from ganvas.nn.dense import DenseDecoder, DenseEncoder
from ganvas.nn.likelihoods import BernoulliLikelihood
from ganvas.types import Batch

SHAPE, BLOCK = (1, 28, 28), 250
PEER_IMAGES = 5  # after each of our blocks
AGREE = 1.0  # nats per image; the noise of 5,000 codes is some tenths


def measure(*, rounds: int = 1, images: int = 1000, codes: int = 5000) -> list[dict[str, Any]]:
    """Rows of part, case, ours_s, peer, peer_s, ratio (peer over ours; medians of rounds), note."""
    model, x = network(), pictures(images)
    peer = pythae_of(model)
    timed = [one_round(model, x, codes, peer) for _ in range(rounds)]
    row = {
        "part": "likelihood",
        "case": f"{images} images, K={codes}",
        "ours_s": statistics.median(ours for ours, _ in timed),
        "peer": "pythae get_nll",
        "peer_s": None,
        "ratio": None,
        "note": "not run: pythae is not installed",
    }
    if peer is not None:
        row["peer_s"] = statistics.median(theirs for _, theirs in timed)
        row["ratio"] = statistics.median(theirs / ours for ours, theirs in timed)
        taken = PEER_IMAGES * -(-images // BLOCK)
        row["note"] = f"pythae timed on {taken} images, times {images / taken:g}"
    return [row]


def one_round(
    model: VAE, x: Tensor, codes: int, peer: Callable[..., float] | None
) -> tuple[float, float]:
    """Seconds of ours, and of the peer scaled to as many images."""
    ours = theirs = 0.0
    taken = 0
    for start, block in blocks(x):
        batch = Batch(block, start=start)
        seconds, bounds = timed(lambda batch=batch: bound(model, batch, codes))
        ours += seconds
        if peer is not None:
            few = block[:PEER_IMAGES]
            seconds, value = timed(lambda few=few: peer(few, n_samples=codes))
            assert abs(value - bounds[: len(few)].mean().item()) < AGREE
            theirs, taken = theirs + seconds, taken + len(few)
    return ours, theirs * len(x) / max(taken, 1)


def blocks(x: Tensor) -> Iterator[tuple[int, Tensor]]:
    """Positions and images."""
    for start in range(0, len(x), BLOCK):
        yield start, x[start : start + BLOCK]


@torch.no_grad()
def bound(model: VAE, batch: Batch, codes: int) -> Tensor:
    """As the measure `likelihood` takes it, `(B,)` nats."""
    return Importance(model, codes)(batch)[1].bound


def timed(call: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds and the value."""
    start = time.perf_counter()
    value = call()
    return time.perf_counter() - start, value


def network() -> VAE:
    """Untrained, the same weights each time."""
    torch.manual_seed(0)
    return VAE(
        image_shape=SHAPE,
        latent_dim=20,
        network={
            "encoder": partial(DenseEncoder, hidden=[400]),
            "decoder": partial(DenseDecoder, hidden=[400]),
        },
        likelihood=BernoulliLikelihood(),
        loss=ElboLoss(beta=1.0, reconstruction_weight=1.0),
        optimizer=torch.optim.Adam,
    ).eval()


def pictures(num: int) -> Tensor:
    """Black and white noise; what is on images does not change the time."""
    generator = torch.Generator().manual_seed(1)
    return (torch.rand(num, *SHAPE, generator=generator) > 0.5).float()


def pythae_of(model: VAE) -> Callable[..., float] | None:
    """Its `get_nll` with our network inside; None where it is not installed."""
    try:
        from pythae.models import VAE as PythaeVAE  # noqa: N811
        from pythae.models import VAEConfig
        from pythae.models.base.base_utils import ModelOutput
        from pythae.models.nn import BaseDecoder, BaseEncoder
    except ImportError:
        return None

    class Encoder(BaseEncoder):
        def __init__(self) -> None:
            super().__init__()
            self.network = model.encoder

        def forward(self, x: Tensor) -> Any:
            mu, log_var = self.network(x).chunk(2, 1)
            return ModelOutput(embedding=mu, log_covariance=log_var)

    class Decoder(BaseDecoder):
        def __init__(self) -> None:
            super().__init__()
            self.network = model.decoder

        def forward(self, z: Tensor) -> Any:
            return ModelOutput(reconstruction=self.network(z).sigmoid())

    config = VAEConfig(input_dim=SHAPE, latent_dim=20, reconstruction_loss="bce")
    return PythaeVAE(config, encoder=Encoder(), decoder=Decoder()).eval().get_nll
