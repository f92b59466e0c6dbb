"""The range of a generator's images, whatever is wrapped around it."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
import torch
import yaml
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from ganvas.engine.build import build_model
from ganvas.engine.check import check_build, check_overrides
from ganvas.engine.signatures import parameters_of
from ganvas.engine.targets import import_object
from ganvas.models.gan.checks import output_range
from ganvas.nn.conditional import BatchNormGenerator, ConcatenatedGenerator
from ganvas.nn.dcgan import DCGANGenerator
from ganvas.nn.dense import DenseDecoder
from ganvas.paths import config_dir
from models.tiny import SHAPE, gan

UNIT, SIGNED = (0.0, 1.0), (-1.0, 1.0)
dense = partial(DenseDecoder, image_shape=SHAPE, hidden=[4])
dcgan = partial(DCGANGenerator, image_shape=(1, 8, 8), width=2)


class Backwards(nn.Module):
    """Layers in another order than that of their calls, and a label that comes last."""

    def __init__(self, *, num_inputs: int, output: type[nn.Module]) -> None:
        super().__init__()
        self.output = output()
        self.linear = spectral_norm(nn.Linear(num_inputs, 16))
        self.first = nn.Sigmoid()
        self.label = nn.Embedding(3, num_inputs)
        self.unused = nn.Tanh()

    def forward(self, z: Tensor, y: Tensor) -> Tensor:
        return self.output(self.linear(self.first(z + self.label(y)))).view(-1, *SHAPE)


@pytest.mark.parametrize(("output", "expected"), [(nn.Sigmoid, UNIT), (nn.Tanh, SIGNED)])
def test_it_is_that_of_the_last_layer_to_act(
    output: type[nn.Module], expected: tuple[float, float]
) -> None:
    generators = [
        dense(num_inputs=5, output=output),
        dense(num_inputs=5, output=output, activation=nn.Sigmoid),
        dcgan(num_inputs=5, output=output),
        Backwards(num_inputs=5, output=output),
        nn.Sequential(nn.Linear(5, 16), output(), nn.Unflatten(1, SHAPE), nn.Identity()),
        ConcatenatedGenerator(
            partial(DenseDecoder, hidden=[4], output=output),
            num_classes=3,
            num_inputs=5,
            image_shape=SHAPE,
        ),
        BatchNormGenerator(
            partial(DCGANGenerator, width=2, output=output),
            num_classes=3,
            num_inputs=5,
            image_shape=(1, 8, 8),
            spread=0.1,
        ),
    ]
    for generator in generators:
        before = {name: value.clone() for name, value in generator.state_dict().items()}
        assert output_range(generator, num_inputs=5) == expected, generator
        assert generator.training
        assert all(torch.equal(v, before[k]) for k, v in generator.state_dict().items())
        assert not any(module._forward_hooks for module in generator.modules())


def test_hidden_sigmoids_do_not_count() -> None:
    unbounded = dense(num_inputs=5, activation=nn.Sigmoid)
    assert output_range(unbounded, num_inputs=5) == SIGNED


def test_nothing_random_is_drawn() -> None:
    generator = nn.Sequential(nn.Dropout(), nn.Linear(5, 16))
    state = torch.get_rng_state()
    output_range(generator, num_inputs=5)
    assert torch.equal(torch.get_rng_state(), state)


def _has_output(path: Path) -> bool:
    """Whether the network has a generator whose last activation can be chosen."""
    generator = yaml.safe_load(path.read_text()).get("generator") or {}
    return "_target_" in generator and "output" in parameters_of(
        import_object(generator["_target_"], key=path.stem)
    )


NETWORKS = sorted(path.stem for path in config_dir().glob("network/*.yaml") if _has_output(path))


def test_there_are_networks_to_walk() -> None:
    assert {"dcgan", "dense_gan"} <= set(NETWORKS)


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize(("output", "expected"), [("Sigmoid", UNIT), ("Tanh", SIGNED)])
def test_images_of_every_network_have_the_range(
    network: str, output: str, expected: tuple[float, float]
) -> None:
    """On the meta device: what the output is set to is what is found."""
    checked = check_overrides(
        [
            "model=gan",
            f"network={network}",
            f"++network.generator.output={{_target_:torch.nn.{output},_partial_:true}}",
            "dataset=digits",
            "dataset.image_size=32",
            "trainer=cpu",
        ]
    )
    assert check_build(checked)[1].value_range == expected


def test_a_run_asks_for_images_of_that_range() -> None:
    assert gan().value_range == SIGNED
    sigmoid = "++network.generator.output={_target_:torch.nn.Sigmoid,_partial_:true}"
    checked = check_overrides(["model=dcgan", "dataset=digits", "trainer=cpu", sigmoid])
    model = build_model(checked, check_build(checked)[0]).eval()
    assert model.value_range == UNIT
    assert 0 <= model.sample(3).min() < model.sample(3).max() <= 1
