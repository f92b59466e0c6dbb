"""Inception against torch-fidelity's own, with the same random weights in both."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset
from torch_fidelity import calculate_metrics
from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3
from torch_fidelity.interpolate_compat_tensorflow import interpolate_bilinear_2d_like_tensorflow1x
from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric

from ganvas.evaluation.measure import named
from ganvas.metrics.frechet import Moments, moments_distance
from ganvas.nn.extractor import Extractor
from ganvas.nn.frozen import Frozen
from ganvas.nn.inception import Inception, as_inception_sees
from ganvas.types import Features

SOME = 64
"""Features in the quick test of the distance: torch-fidelity's takes minutes for 2,048."""


def same(found: Tensor, expected: Tensor) -> None:
    """To 1e-5 of the largest value."""
    assert expected.abs().max() > 0.1
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5 * float(expected.abs().max()))


def images(num: int, *, channels: int, size: int) -> Tensor:
    generator = torch.Generator().manual_seed(size)
    shape = (num, channels, size, size)
    return torch.randint(256, shape, dtype=torch.uint8, generator=generator)


@pytest.fixture(scope="module")
def weights_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights that keep activations of order 1."""
    network = Inception(image_shape=(3, 32, 32))
    generator = torch.Generator().manual_seed(0)
    state = network.state_dict()
    for name, value in state.items():
        if name.endswith("conv.weight"):
            nn.init.kaiming_normal_(value, generator=generator)
        elif name.endswith(("bn.bias", "running_mean")):
            value.normal_(0, 0.1, generator=generator)
        elif name.endswith("running_var"):
            value.uniform_(0.5, 1.5, generator=generator)
        elif name.startswith("fc."):
            value.normal_(0, 0.1, generator=generator)
    file = tmp_path_factory.mktemp("inception") / "weights.pth"
    torch.save(state, file)
    return file


@pytest.fixture(scope="module")
def ours(weights_file: Path) -> Extractor:
    network = Inception(image_shape=(3, 32, 32))
    network.load_state_dict(torch.load(weights_file, weights_only=True))
    return Extractor(Frozen(network))


@pytest.fixture(scope="module")
def theirs(weights_file: Path) -> Any:
    return FeatureExtractorInceptionV3(
        "inception", ["2048", "logits_unbiased"], feature_extractor_weights_path=str(weights_file)
    )


Both = tuple[Features, Features]


def seen_by(ours: Extractor, theirs: Any, x: Tensor) -> Both:
    with torch.no_grad():
        return ours(x), Features(*theirs(x.expand(-1, 3, -1, -1)))


@pytest.fixture(scope="module")
def colour(ours: Extractor, theirs: Any) -> Both:
    return seen_by(ours, theirs, images(2, channels=3, size=32))


@pytest.fixture(scope="module")
def grey(ours: Extractor, theirs: Any) -> Both:
    return seen_by(ours, theirs, images(2, channels=1, size=28))


@pytest.mark.parametrize("which", ["colour", "grey"])
def test_features_and_logits_are_those_of_torch_fidelity(
    which: str, request: pytest.FixtureRequest
) -> None:
    mine, reference = request.getfixturevalue(which)
    assert mine.vectors.shape == (2, 2048)
    assert mine.logits.shape == (2, 1008)
    same(mine.vectors, reference.vectors)
    same(mine.logits, reference.logits)
    spread = reference.vectors.std(0).mean() / reference.vectors.abs().mean()
    assert spread > 1e-3  # the images differ to the network


def test_the_distance_is_torch_fidelitys_fid(colour: Both, grey: Both) -> None:
    statistics = [fid_features_to_statistics(part[1].vectors[:, :SOME]) for part in (colour, grey)]
    fid = fid_statistics_to_metric(*statistics, verbose=False)["frechet_inception_distance"]
    mine = [Moments.of(part[0].vectors[:, :SOME]) for part in (colour, grey)]
    assert float(moments_distance(*mine)) == pytest.approx(fid, rel=1e-5)


class Given(Dataset[Tensor]):
    """Images as torch-fidelity takes them."""

    def __init__(self, values: Tensor) -> None:
        self.values = values

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, index: int) -> Tensor:
        return self.values[index]


@pytest.mark.slow
def test_the_distance_is_that_of_its_whole_command(ours: Extractor, weights_file: Path) -> None:
    real, fake = images(6, channels=3, size=600).view(2, 3, 3, 600, 600)
    fake = fake // 2
    found = calculate_metrics(
        input1=Given(real),
        input2=Given(fake),
        fid=True,
        cuda=False,
        verbose=False,
        cache=False,
        feature_extractor_weights_path=str(weights_file),
        batch_size=3,
        save_cpu_ram=True,
    )
    with torch.no_grad():
        mine = [Moments.of(ours(part).vectors) for part in (real, fake)]
    fid = found["frechet_inception_distance"]
    assert float(moments_distance(*mine)) == pytest.approx(fid, rel=1e-5)


@pytest.mark.slow
def test_large_images_are_resized_as_by_torch_fidelity(ours: Extractor, theirs: Any) -> None:
    mine, reference = seen_by(ours, theirs, images(2, channels=3, size=600))
    same(mine.vectors, reference.vectors)


# What reaches the first layer


@pytest.mark.parametrize("channels", [1, 3])
def test_each_of_256_levels_arrives_exactly(channels: int) -> None:
    levels = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16).expand(1, channels, 16, 16)
    size = {"size": (299, 299), "align_corners": False}
    resized = interpolate_bilinear_2d_like_tensorflow1x(levels.expand(1, 3, 16, 16).float(), **size)
    for x in (levels.float() / 255, (levels.float() / 255 * 2 - 1 + 1) / 2):  # from [−1, 1] too
        assert torch.equal(as_inception_sees(x), (resized - 128) / 128)


def test_floats_between_the_levels_are_not_rounded() -> None:
    seen = as_inception_sees(torch.full((1, 1, 4, 4), 100.4 / 255))
    torch.testing.assert_close(seen, torch.full((1, 3, 299, 299), (100.4 - 128) / 128))


@pytest.mark.parametrize("channels", [2, 4])
def test_other_channels_are_refused(channels: int) -> None:
    with pytest.raises(ValueError, match=f"images of 1 or 3 channels, got {channels}"):
        Inception(image_shape=(channels, 8, 8))


def test_a_layer_of_it_can_be_chosen() -> None:
    with torch.device("meta"):
        found = Extractor(Frozen(Inception(image_shape=(1, 8, 8))), layer="Conv2d_4a_3x3")
        seen = found(torch.empty(2, 1, 8, 8))
    name = named("fd_{features}", found.name)
    assert name == "fd_inception_Conv2d_4a_3x3"  # the FID is of the last layer only
    assert seen.vectors.shape == (2, 192 * 71 * 71)
    assert seen.logits is not None


def test_another_layer_is_refused_with_the_outermost_names() -> None:
    with torch.device("meta"):
        frozen = Frozen(Inception(image_shape=(1, 8, 8)))
    with pytest.raises(
        ValueError, match="got conv; there are: as_inception_sees, Conv2d_1a_3x3, C"
    ):
        Extractor(frozen, layer="conv")


def test_its_identity_tells_the_resize(ours: Extractor) -> None:
    identity = ours.identity()
    assert identity["extractor"] == "Inception"
    assert identity["transform"] == "bilinear to 299×299 as in TensorFlow 1, no antialias"
    assert ours.name == "inception"
