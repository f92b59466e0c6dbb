"""The extractor's identity, and what it accepts of images and networks."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ganvas.errors import ConfigError, DataError
from ganvas.nn import extractor as module
from ganvas.nn.classifier import ConvClassifier
from ganvas.nn.extractor import Extractor, quantized, unit, weights_hash
from ganvas.nn.frozen import Frozen, as_vectors
from ganvas.nn.pixels import Pixels

SHAPE = (1, 8, 8)


def classifier() -> ConvClassifier:
    return ConvClassifier(image_shape=SHAPE, num_classes=3)


class TwoHeads(nn.Module):
    """Its output is no tensor, but its layers' are; counts how often it runs."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 2, 3)
        self.seen: list[int] = []
        self.conv.register_forward_hook(lambda *_: self.seen.append(1))

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        return {"vectors": self.conv(x)}


def test_8_bits_and_their_floats_are_the_same_images() -> None:
    extract = Extractor(Frozen(classifier()))
    images = torch.randint(256, (5, *SHAPE), dtype=torch.uint8)
    assert torch.equal(extract(images).vectors, extract(images.float() / 255).vectors)


def test_a_layer_of_a_network_whose_output_is_no_tensor() -> None:
    network = TwoHeads()
    x = torch.rand(4, *SHAPE)
    with pytest.raises(ConfigError, match=r"TwoHeads must give floats .* got dict for 4; choose"):
        Extractor(Frozen(network))(x)
    network.seen.clear()
    extract = Extractor(Frozen(network), layer="conv")
    found = extract(x)
    assert torch.equal(found.vectors, network.conv(x).flatten(1))
    assert len(network.seen) == 2  # once to extract, once in the line above
    assert found.logits is None


def test_a_layer_of_a_classifier_keeps_its_classes() -> None:
    network = classifier()
    found = Extractor(Frozen(network), layer="relu1")(x := torch.rand(4, *SHAPE))
    assert found.vectors.shape == (4, 16 * 64)
    assert found.logits is not None
    assert torch.equal(found.logits, network(x))


def test_names() -> None:
    assert Extractor(Frozen(Pixels())).name == "pixels"
    assert Extractor(Frozen(TwoHeads())).name == "two_heads"
    assert Extractor(Frozen(nn.Flatten())).name == "flatten"


# Identity


def changed_weight(network: nn.Module) -> None:
    with torch.no_grad():
        next(network.parameters())[0] += 1e-6


def exchanged_weights(network: nn.Module) -> None:
    network.load_state_dict(classifier().state_dict())


def new_parameter(network: nn.Module) -> None:
    first = network.get_submodule("conv1")
    assert isinstance(first, nn.Conv2d)
    first.weight = nn.Parameter(first.weight.detach() * 2)


@pytest.mark.parametrize("change", [changed_weight, exchanged_weights, new_parameter])
def test_the_identity_follows_each_weight(change: Any) -> None:
    network = classifier()
    extract = Extractor(Frozen(network))
    before = extract.identity()
    change(network)
    after = extract.identity()
    assert before["weights"] != after["weights"] == weights_hash(network)
    assert {**before, "weights": None} == {**after, "weights": None}


def test_weights_are_hashed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    extract = Extractor(Frozen(classifier()))
    first = extract.identity()
    monkeypatch.setattr(module, "weights_hash", None)
    assert extract.identity() == first


def test_layer_arguments_and_code_are_part_of_the_identity() -> None:
    frozen = Frozen(classifier())
    plain = Extractor(frozen).identity()
    assert set(plain) == {"extractor", "layer", "weights"}
    assert Extractor(frozen, layer="relu1").identity() == {**plain, "layer": "relu1"}
    given = Extractor(frozen, arguments={"depth": 2}).identity()
    assert given == {**plain, "arguments": {"depth": 2}}
    assert "code" in Extractor(Frozen(TwoHeads())).identity()
    assert "code" in Extractor(Frozen(nn.Sequential(TwoHeads()))).identity()


def test_any_kind_of_weight_can_be_hashed() -> None:
    kinds = nn.ModuleList([nn.BatchNorm2d(3), nn.Linear(2, 2).bfloat16(), nn.Linear(1, 1).half()])
    kinds.register_buffer("empty", torch.zeros(0))
    before = weights_hash(kinds)
    assert weights_hash(kinds) == before
    kinds[0].num_batches_tracked += 1  # type: ignore[operator]
    assert weights_hash(kinds) != before


# Images and features that are none


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("function", [quantized, unit])
def test_pixels_must_be_finite(function: Any, bad: float) -> None:
    images = torch.zeros(2, *SHAPE)
    images[1, 0, 3, 4] = bad
    with pytest.raises(DataError, match="NaN or infinite pixels: the model has diverged; choose"):
        function(images, (-1, 1))


def test_quantized_rounds_and_clamps() -> None:
    values = torch.tensor([-2.0, -1.0, 0.0, 1.0, 3.0])
    assert quantized(values, (-1, 1)).tolist() == [0, 0, 128, 255, 255]
    levels = torch.arange(256)
    assert torch.equal(quantized(levels.float() / 255 * 2 - 1, (-1, 1)), levels.byte())


def test_features_must_be_finite_and_of_one_width() -> None:
    with pytest.raises(DataError, match="pixels gave NaN or infinite features"):
        Extractor(Frozen(Pixels()))(torch.full((2, *SHAPE), float("nan")))
    extract = Extractor(Frozen(Pixels()))
    extract(torch.rand(2, *SHAPE))
    with pytest.raises(ConfigError, match=r"pixels must .* got 64 for some and 32 for others"):
        extract(torch.rand(2, 1, 4, 8))


@pytest.mark.parametrize("shape", [(4, 3), (1, 3), (2,), (), (2, 0)])
def test_features_have_a_row_for_each_image(shape: tuple[int, ...]) -> None:
    with pytest.raises(ConfigError, match=r"Net must give floats \(B, D, …\) for B images, got "):
        as_vectors(torch.zeros(shape), num=2, source="Net")
    assert as_vectors(torch.zeros(2, 3, 4).double(), num=2, source="Net").shape == (2, 12)
