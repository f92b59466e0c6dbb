"""The classifier's shapes and names, and what frozen means."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from ganvas.nn.classifier import ConvClassifier
from ganvas.nn.frozen import Frozen

LAYERS = [
    *("conv1", "relu1", "pool1", "conv2", "relu2", "pool2", "conv3", "relu3", "pool3"),
    *("flatten", "dense", "relu4", "logits"),
]


@pytest.mark.parametrize("shape", [(1, 28, 28), (1, 8, 8), (3, 17, 10), (1, 1, 1)])
def test_any_image_shape_gives_logits_and_features(shape: tuple[int, int, int]) -> None:
    network = ConvClassifier(image_shape=shape, num_classes=7)
    x = torch.rand(2, *shape)
    assert network(x).shape == (2, 7)
    features = network.features(x)
    assert features.shape == (2, 64)
    assert features.min() >= 0
    assert torch.equal(network.get_submodule("logits")(features), network(x))


def test_its_size_for_mnist_is_under_300_kb() -> None:
    network = ConvClassifier(image_shape=(1, 28, 28), num_classes=10)
    assert sum(p.numel() for p in network.parameters()) == 68_538
    assert 4 * 68_538 < 300_000
    assert list(network.buffers()) == []  # no running statistics


def test_an_image_is_seen_alone() -> None:
    network = ConvClassifier(image_shape=(1, 8, 8), num_classes=3)
    x = torch.rand(5, 1, 8, 8)
    torch.testing.assert_close(network(x)[2:3], network(x[2:3]))


@pytest.mark.parametrize("num_classes", [None, 0, 1])
def test_without_classes_it_is_refused(num_classes: int | None) -> None:
    rule = f"labels of at least 2 classes, got num_classes={num_classes}; choose a labelled"
    with pytest.raises(ValueError, match=rule):
        ConvClassifier(image_shape=(1, 8, 8), num_classes=num_classes)


class Noisy(nn.Module):
    """A network that differs in training: dropout and batch norm."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 3, 3)
        self.norm = nn.BatchNorm2d(3)
        self.drop = nn.Dropout(0.5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.drop(self.norm(self.conv(x)))


def test_frozen_stays_in_evaluation_mode() -> None:
    holder = nn.Sequential(Frozen(Noisy()), nn.Dropout())
    holder.train()
    assert holder[1].training
    assert not any(module.training for module in holder[0].modules())
    x = torch.rand(4, 1, 6, 6)
    before = {k: v.clone() for k, v in holder.state_dict().items()}
    assert torch.equal(holder[0](x), holder[0](x))
    assert all(torch.equal(v, before[k]) for k, v in holder.state_dict().items())


def test_gradients_pass_through_frozen_weights_and_stop_at_them() -> None:
    frozen = Frozen(nn.Sequential(nn.Flatten(), nn.Linear(4, 1, bias=False)))
    x = torch.rand(2, 1, 2, 2, requires_grad=True)
    frozen(x).sum().backward()
    weight = frozen.network[1].weight
    assert x.grad is not None
    torch.testing.assert_close(x.grad, weight.view(1, 1, 2, 2).expand_as(x))
    assert weight.grad is None
    assert not any(p.requires_grad for p in frozen.parameters())


def test_frozen_measures_in_float32_under_autocast() -> None:
    frozen = Frozen(nn.Sequential(nn.Flatten(), nn.Linear(4, 3)))
    x = torch.rand(2, 1, 2, 2)
    exact = frozen(x)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert frozen.network(x).dtype == torch.bfloat16
        assert torch.equal(frozen(x), exact)
        assert frozen(x.bfloat16()).dtype == torch.float32


def test_layers_by_name_are_the_activations() -> None:
    network = ConvClassifier(image_shape=(1, 8, 8), num_classes=3)
    x = torch.rand(2, 1, 8, 8)
    found = Frozen(network).layers(["relu1", "relu4"])
    found.train()
    assert not any(module.training for module in found.modules())
    outputs = found(x)
    assert list(outputs) == ["relu1", "relu4"]
    assert torch.equal(outputs["relu1"], network.get_submodule("conv1")(x).relu())
    assert torch.equal(outputs["relu4"], network.features(x))
    assert "network.logits.weight" not in found.state_dict()  # not needed for them


def test_layers_of_any_network_and_of_whole_blocks() -> None:
    class Nested(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.block = nn.Sequential(nn.Flatten(), nn.Linear(4, 2), nn.Tanh())

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.block(x).exp()

    network, x = Nested(), torch.rand(3, 1, 2, 2)
    outputs = Frozen(network).layers(["block", "block.1", "exp"])(x)
    assert torch.equal(outputs["block"], network.block(x))
    assert torch.equal(outputs["block.1"], network.block[:2](x))
    assert torch.equal(outputs["exp"], network(x))


@pytest.mark.parametrize(("names", "got"), [(["relu1", "relu9"], "relu9"), ([], "none")])
def test_unknown_layers_are_refused_with_the_known_ones(names: list[str], got: str) -> None:
    frozen = Frozen(ConvClassifier(image_shape=(1, 8, 8), num_classes=3))
    known = ", ".join(LAYERS)
    rule = f"layers must name layers of ConvClassifier, got {got}; there are: {known}"
    with pytest.raises(ValueError, match=rule):
        frozen.layers(names)
