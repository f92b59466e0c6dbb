"""What every pair of GAN networks promises, walked over `conf/network/*.yaml`.

Sizes, ranges, gradients, options, the meta device, copies and `torch.compile`; what is a network's
own is tested in its own file.
"""

from __future__ import annotations

import copy
import re
import warnings
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ganvas.engine.build import instantiate
from ganvas.engine.compose import compose, resolve
from ganvas.nn.conv import GroupNorm

SMALL: dict[str, dict[str, Any]] = {
    "dense_gan": {"hidden": [6]},
    "dcgan": {"width": 4},
    "lecture_dcgan": {"width": 4},
    "infogan": {"width": 4, "hidden": 8},
    "sngan": {"width": 4},
    "r3gan": {"width": 4, "group_width": 4},
}
SIZES = {
    "dense_gan": [5, 8, 28, 33],
    "dcgan": [8, 12, 16, 20, 28, 32, 36, 64],
    "lecture_dcgan": [24, 26, 28, 30, 32, 46, 64],
    "infogan": [8, 12, 28, 32, 36, 64],
    "sngan": [8, 10, 12, 14, 16, 28, 32, 40, 64],
    "r3gan": [8, 10, 12, 14, 16, 28, 32, 40, 64],
}
REFUSED = {
    "dcgan": {30: "28 or 32", 33: "32 or 36", 6: "8"},
    "lecture_dcgan": {8: "24", 22: "24", 27: "26 or 28", 33: "32 or 34"},
    "infogan": {30: "28 or 32", 33: "32 or 36", 4: "8"},
    "sngan": {30: "28 or 32", 33: "32 or 40", 4: "8"},
    "r3gan": {30: "28 or 32", 33: "32 or 40", 4: "8"},
}
NETWORKS = list(SMALL)
CONVOLUTIONAL = NETWORKS[1:]
WITH_NORM = ["dcgan", "infogan"]
SPECTRAL = ["dense_gan", "dcgan", "lecture_dcgan", "infogan", "sngan"]
NUM_INPUTS = 5


def node(network: str, part: str) -> dict[str, Any]:
    """The part's config as composed."""
    return resolve(compose(["model=gan", f"network={network}"]).config)["network"][part]


NODES = {(n, p): node(n, p) for n in NETWORKS for p in ("generator", "critic")}


def generator(network: str, size: int, *, channels: int = 1, **more: Any) -> nn.Module:
    torch.manual_seed(0)
    factory = partial(instantiate(NODES[network, "generator"]), **SMALL[network])
    return factory(num_inputs=NUM_INPUTS, image_shape=(channels, size, size), **more)


def critic(
    network: str, size: int, *, channels: int = 1, num_outputs: int = 1, **more: Any
) -> nn.Module:
    torch.manual_seed(0)
    factory = partial(instantiate(NODES[network, "critic"]), **SMALL[network])
    shape = (channels, size, size)
    return factory(image_shape=shape, num_outputs=num_outputs, **more)


def size_of(network: str) -> int:
    """A size that is quick."""
    return SIZES[network][1]


def moved(module: nn.Module) -> nn.Module:
    """With other weights than the first ones, so that no layer is zero."""
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return module


@pytest.mark.parametrize(
    ("network", "size"), [(n, size) for n, sizes in SIZES.items() for size in sizes]
)
@pytest.mark.parametrize("channels", [1, 3])
def test_the_pair_fits_the_size(network: str, size: int, channels: int) -> None:
    fake = generator(network, size, channels=channels)(torch.randn(2, NUM_INPUTS))
    assert fake.shape == (2, channels, size, size)
    logits = critic(network, size, channels=channels, num_outputs=3)(fake)
    assert logits.shape == (2, 3)
    assert torch.isfinite(logits).all()


@pytest.mark.parametrize(
    ("network", "size", "nearest"),
    [(n, size, nearest) for n, cases in REFUSED.items() for size, nearest in cases.items()],
)
def test_other_sizes_are_refused_with_the_nearest(network: str, size: int, nearest: str) -> None:
    message = re.escape(f"got {size}×{size}; set dataset.image_size to {nearest}") + "$"
    for make in (generator, critic):
        with pytest.raises(ValueError, match=message):
            make(network, size)
    for offered in nearest.split(" or "):
        generator(network, int(offered))
        critic(network, int(offered))


@pytest.mark.parametrize("network", NETWORKS)
def test_the_output_keeps_its_range(network: str) -> None:
    """Tanh by default; a sigmoid is the last layer, so that the model sees it."""
    z = 50 * torch.randn(8, NUM_INPUTS)
    made = generator(network, size_of(network))
    assert isinstance(list(made.modules())[-1], nn.Tanh)
    assert -1 <= moved(made)(z).min() < 0 < moved(made)(z).max() <= 1
    made = generator(network, size_of(network), output=nn.Sigmoid)
    assert isinstance(list(made.modules())[-1], nn.Sigmoid)
    assert 0 <= moved(made)(z).min() < moved(made)(z).max() <= 1


@pytest.mark.parametrize("network", NETWORKS)
def test_gradient_reaches_every_parameter(network: str) -> None:
    size = size_of(network)
    networks = moved(generator(network, size)), moved(critic(network, size))
    networks[1](networks[0](torch.randn(5, NUM_INPUTS))).square().sum().backward()
    for module in networks:
        for name, parameter in module.named_parameters():
            assert parameter.grad is not None, name
            assert torch.isfinite(parameter.grad).all(), name
            assert parameter.grad.abs().sum() > 0, name


@pytest.mark.parametrize("network", NETWORKS)
def test_a_penalty_can_be_taken(network: str) -> None:
    """Twice backward through the plain forward pass, for R1."""
    module = moved(critic(network, size_of(network)))
    x = torch.randn(3, 1, size_of(network), size_of(network), requires_grad=True)
    (gradient,) = torch.autograd.grad(module.forward(x).sum(), x, create_graph=True)
    gradient.square().sum().backward()
    gradients = [p.grad for p in module.parameters() if p.grad is not None]
    assert all(torch.isfinite(g).all() for g in gradients)
    assert any(g.abs().sum() > 0 for g in gradients)


@pytest.mark.parametrize("network", NETWORKS)
def test_it_is_built_on_the_meta_device(network: str) -> None:
    size = size_of(network)
    more: dict[str, Any] = {"spectral_norm": True} if network in SPECTRAL else {}
    with torch.device("meta"):
        made = generator(network, size, **more)(torch.empty(2, NUM_INPUTS))
        judge = critic(network, size, **more)
        assert judge(made).shape == (2, 1)
    assert all(t.is_meta for t in (*judge.parameters(), *judge.buffers(), made))


def eager_compiled(module: nn.Module) -> nn.Module:
    compiled = copy.deepcopy(module)
    compiled.compile(backend="eager", fullgraph=True)
    return compiled


@pytest.mark.parametrize("network", ["sngan", "r3gan"])
def test_compiled_they_give_the_same(network: str) -> None:
    """One graph each, on the `eager` backend; a plain `forward` stays for the penalties."""
    size = size_of(network)
    z = torch.randn(4, NUM_INPUTS)
    for module, x in (
        (moved(generator(network, size)), z),
        (moved(critic(network, size)), torch.randn(4, 1, size, size)),
    ):
        module.eval()
        compiled = eager_compiled(module)
        torch.testing.assert_close(compiled(x), module(x))
        torch.testing.assert_close(compiled.forward(x), module(x))


@pytest.mark.parametrize("network", ["dcgan"])
def test_a_spectrally_normalised_critic_can_be_compiled(network: str) -> None:
    size = size_of(network)
    module = critic(network, size, spectral_norm=True, minibatch_std=2)
    torch.manual_seed(1)
    x = torch.randn(4, 1, size, size)
    compiled = eager_compiled(module)
    module.eval()
    compiled.eval()
    torch.testing.assert_close(compiled(x), module(x))


# Options


@pytest.mark.parametrize("network", SPECTRAL)
def test_spectral_norm_is_on_every_weight(network: str) -> None:
    size, weighted = size_of(network), (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)
    for make, x in (
        (generator, torch.randn(4, NUM_INPUTS)),
        (critic, torch.randn(4, 1, size, size)),
    ):
        module = make(network, size, spectral_norm=True).train()
        with torch.no_grad():
            for _ in range(60):
                module(x)
        layers = [m for m in module.modules() if isinstance(m, weighted)]
        assert len(layers) > 1
        for layer in layers:
            dim = 1 if isinstance(layer, nn.ConvTranspose2d) else 0
            weight = layer.weight.transpose(0, dim).flatten(1)
            top = torch.linalg.svdvals(weight)[0]
            torch.testing.assert_close(top, torch.ones(()), rtol=0.03, atol=0)
        plain = make(network, size, spectral_norm=False)
        assert not any("parametrizations" in name for name, _ in plain.named_parameters())


@pytest.mark.parametrize("network", SPECTRAL)
def test_spectral_norm_starts_from_the_same_weights(network: str) -> None:
    """Initial weights are drawn first, as without it."""
    size = size_of(network)
    for make in (generator, critic):
        normed = dict(make(network, size, spectral_norm=True).named_parameters())
        for name, weight in make(network, size, spectral_norm=False).named_parameters():
            original = name.replace("weight", "parametrizations.weight.original")
            assert torch.equal(normed[original if weight.dim() > 1 else name], weight), name


@pytest.mark.parametrize("network", CONVOLUTIONAL)
def test_with_minibatch_std_the_critic_sees_the_batch(network: str) -> None:
    size = size_of(network)
    x = torch.randn(8, 1, size, size, generator=torch.Generator().manual_seed(3))
    other = x.clone()
    other[1:4] *= 0.2
    alone = moved(critic(network, size)).eval()
    torch.testing.assert_close(alone(x)[:1], alone(other)[:1])
    seeing = moved(critic(network, size, minibatch_std=4)).eval()
    assert not torch.allclose(seeing(x)[:1], seeing(other)[:1])
    torch.testing.assert_close(seeing(x)[4:], seeing(other)[4:])  # another group


@pytest.mark.parametrize("network", ["dcgan", "infogan", "lecture_dcgan"])
@pytest.mark.parametrize("kernel_size", [2, 3, 4, 5, 6])
def test_any_kernel_gives_the_right_size(network: str, kernel_size: int) -> None:
    size, z = 28, torch.randn(2, NUM_INPUTS)
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        made = generator(network, size, kernel_size=kernel_size)
    assert made(z).shape == (2, 1, size, size)
    told = [str(w.message) for w in seen]
    assert len(told) == kernel_size % 2
    assert all(f"network.generator.kernel_size={kernel_size}" in text for text in told)
    if network != "lecture_dcgan":
        judge = critic(network, size, kernel_size=kernel_size)
        assert judge(torch.randn(2, 1, size, size)).shape == (2, 1)
        kernels = {m.kernel_size[0] for m in judge.modules() if isinstance(m, nn.Conv2d)}
        assert kernel_size in kernels


@pytest.mark.parametrize("network", WITH_NORM)
@pytest.mark.parametrize("part", ["generator", "critic"])
def test_the_norm_is_chosen(network: str, part: str) -> None:
    make = generator if part == "generator" else critic
    groups = partial(GroupNorm, num_groups=2)
    for norm, kind in ((nn.BatchNorm2d, nn.BatchNorm2d), (groups, GroupNorm), (None, None)):
        module = make(network, 12, norm=norm)
        found = {type(m) for m in module.modules() if "Norm" in type(m).__name__}
        assert found == ({kind} if kind else set())
        x = torch.randn(3, NUM_INPUTS) if part == "generator" else torch.randn(3, 1, 12, 12)
        assert torch.isfinite(module(x)).all()


@pytest.mark.parametrize("network", ["dense_gan", "dcgan", "lecture_dcgan", "infogan"])
@pytest.mark.parametrize("make", [generator, critic])
def test_dropout_is_off_until_asked_for_and_in_evaluation(network: str, make: Any) -> None:
    size = size_of(network)
    x = torch.randn(3, NUM_INPUTS) if make is generator else torch.randn(3, 1, size, size)
    plain = make(network, size, dropout=0.0)
    assert not any(isinstance(m, nn.Dropout) for m in plain.modules())
    dropping = make(network, size, dropout=0.5)
    assert not torch.equal(dropping(x), dropping(x))
    dropping.eval()
    assert torch.equal(dropping(x), dropping(x))
    with pytest.raises(ValueError, match="dropout must be at least 0 and below 1, got 1"):
        make(network, size, dropout=1.0)


@pytest.mark.parametrize("network", ["dense_gan", "dcgan", "lecture_dcgan", "infogan", "sngan"])
@pytest.mark.parametrize("make", [generator, critic])
def test_the_activation_is_chosen(network: str, make: Any) -> None:
    module = make(network, size_of(network), activation=nn.ELU)
    kinds = {type(m) for m in module.modules()}
    assert nn.ELU in kinds
    assert not kinds & {nn.ReLU, nn.LeakyReLU}


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("part", ["generator", "critic"])
def test_options_are_written_out_and_off(network: str, part: str) -> None:
    """A user sees them in the YAML; the lecture's dropout and SNGAN's norm are their methods."""
    import inspect

    written = NODES[network, part]
    factory = instantiate(written)
    taken = set(inspect.signature(factory.func).parameters)
    assert taken - {"image_shape", "num_inputs", "num_outputs"} == set(written) - {
        "_target_",
        "_partial_",
    }
    assert written.get("minibatch_std", 0) == 0
    assert written.get("spectral_norm", False) == ((network, part) == ("sngan", "critic"))
    assert written.get("dropout", 0) == (
        0.4 if (network, part) == ("lecture_dcgan", "critic") else 0
    )


def spread(x: Tensor) -> Tensor:
    return (x - x.mean(0)).abs().mean()


@pytest.mark.parametrize("network", NETWORKS)
def test_different_noise_makes_different_images(network: str) -> None:
    assert spread(moved(generator(network, size_of(network)))(torch.randn(6, NUM_INPUTS))) > 1e-3
