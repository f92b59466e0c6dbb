"""Where images come from: each source implements `ganvas.protocols.ImageSource`."""

from __future__ import annotations

from ganvas.data.sources.arrays import Arrays
from ganvas.data.sources.celeba import CelebA
from ganvas.data.sources.dataset import FromDataset
from ganvas.data.sources.digits import Digits
from ganvas.data.sources.dsprites import DSprites
from ganvas.data.sources.folder import ImageFolder
from ganvas.data.sources.mixture2d import Mixture2D
from ganvas.data.sources.sprites import Sprites
from ganvas.data.sources.torchvision_sets import (
    cifar10,
    cifar100,
    fashion_mnist,
    kmnist,
    mnist,
    stl10,
    svhn,
)

__all__ = [
    "Arrays",
    "CelebA",
    "DSprites",
    "Digits",
    "FromDataset",
    "ImageFolder",
    "Mixture2D",
    "Sprites",
    "cifar10",
    "cifar100",
    "fashion_mnist",
    "kmnist",
    "mnist",
    "stl10",
    "svhn",
]
