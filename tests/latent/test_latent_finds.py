"""What tools find and draw: askew priors, images without a class, models with a range."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from matplotlib.figure import Figure
from torch import Tensor

from evaluation.subjects import InMemory, image_data
from ganvas.data.given import split_images
from ganvas.latent.anomaly import elbo_scores, error_scores
from ganvas.latent.chart import Stack
from ganvas.latent.cloud import Cloud
from ganvas.latent.manifold import Manifold
from ganvas.latent.nearest import Nearest
from ganvas.latent.neighbours import Neighbours
from ganvas.latent.plane import RADII, Shadow
from ganvas.latent.project import Project
from ganvas.latent.restore import Restore
from ganvas.latent.scatter import Scatter
from ganvas.latent.search import chosen_target
from ganvas.latent.walk import Grid, recorded, thinned
from ganvas.models.view import ModelView
from ganvas.nn.corruptions import BlockMaskCorruption, GaussianCorruption
from ganvas.nn.extractor import Extractor
from ganvas.nn.frozen import Frozen
from ganvas.nn.pixels import Pixels
from latent.scenes import (
    ConditionalGAN,
    ConditionalVAE,
    LinearAE,
    LinearGAN,
    LinearVAE,
    class_data,
    class_images,
    scene,
)

STD = 0.3


class AskewVAE(LinearVAE):
    """The prior N((3, −2), diag(4, 1)), of known density."""

    standard_normal_prior = False

    def prior_codes(self, num: int, *, seed: int) -> Tensor:
        scales, mean = torch.tensor([2.0, 1.0]), torch.tensor([3.0, -2.0])
        return super().prior_codes(num, seed=seed) * scales + mean

    def prior_density(self) -> Callable[[Tensor], Tensor]:
        normal = torch.distributions.Normal(torch.tensor([3.0, -2.0]), torch.tensor([2.0, 1.0]))
        return lambda z: normal.log_prob(z).sum(1)

    def log_likelihood(self, x: Tensor, z: Tensor) -> Tensor:
        raise NotImplementedError

    def likelihood_kind(self) -> str:
        raise NotImplementedError


class ProbableOfClass(ConditionalVAE):
    """p(x|z, y) = N(decode(z, y), STD² I)."""

    def likelihood_kind(self) -> str:
        return "density"

    def log_likelihood(self, x: Tensor, z: Tensor, y: Tensor | None = None) -> Tensor:
        density = torch.distributions.Normal(self.decode(z, y), STD)
        return density.log_prob(x).flatten(1).sum(1)

    def prior_density(self) -> Any:
        return lambda z: torch.distributions.Normal(0.0, 1.0).log_prob(z).sum(1)


class Exact(LinearAE):
    """Loses nothing, and is said to be trained to undo something."""

    def corrupt(self, x: Tensor, noise: Tensor) -> Tensor:
        return x + noise

    def corruption_words(self) -> str:
        return "noise"

    def reconstruct(self, x: Tensor) -> Tensor:
        return x


class ProbableWide(ProbableOfClass):
    """The same of images in [−1, 1], with as wide a density."""

    value_range = (-1.0, 1.0)

    def posterior(self, x: Tensor, y: Tensor | None = None) -> Any:
        return super().posterior((x + 1) / 2, y)

    def log_likelihood(self, x: Tensor, z: Tensor, y: Tensor | None = None) -> Tensor:
        return super().log_likelihood((x + 1) / 2, z, y)


def scatter(**options: Any) -> Scatter:
    return Scatter(**{"method": "auto", "num": 2000, "perplexity": 5.0, **options})


def neighbours(**options: Any) -> Neighbours:
    given = {"k": 4, "metric": "euclidean", "within": "train", "num_searched": None}
    return Neighbours(**{**given, "measured": 6, "shown": 2, **options})


def test_shares_within_contours_are_the_same_in_turned_axes() -> None:
    plain, turned = (
        scatter(method=method).draw(scene(AskewVAE(2, scales=[0.05, 0.1]))).values
        for method in ("auto", "pca")
    )
    shares = {name: value for name, value in plain.items() if "inside" in name}
    assert len(shares) == 3 and 0 < shares["inside_86"] < 1
    assert shares == {name: turned[name] for name in shares}


def test_contours_are_as_wide_and_as_high_as_the_density() -> None:
    def density(points: Tensor) -> Tensor:
        return -0.5 * (points / torch.tensor([1.0, 3.0])).square().sum(1)

    reach = torch.tensor([3.0, 9.0]).double()
    shadow = Shadow("p", density, [-0.5 * r**2 for r in RADII], torch.stack([-reach, reach]))
    axes = Figure().add_subplot()
    Cloud(torch.zeros(1, 2).double(), None, ("a", "b"), shadow=shadow).paint(axes)
    lines = next(c for c in axes.collections if type(c).__name__ == "QuadContourSet")
    for path, r in zip(lines.get_paths(), sorted(RADII, reverse=True), strict=True):
        width, height = path.vertices.max(0)  # type: ignore[union-attr]
        assert (width, height) == pytest.approx((r, 3 * r), rel=0.02)
    at = {text.get_text(): text.get_position() for text in axes.texts}
    assert set(at) == {"39 %", "86 %", "99 %"}
    far = {name: math.hypot(x, y / 3) for name, (x, y) in at.items()}
    assert [far[name] for name in ("39 %", "86 %", "99 %")] == pytest.approx(list(RADII), rel=0.05)


def test_named_images_change_neither_axes_nor_shares() -> None:
    white = torch.ones(20, 1, 4, 4)
    alone, marked = (scatter().draw(scene(LinearVAE(3), x)) for x in (None, [white]))
    assert alone.values == marked.values
    torch.testing.assert_close(alone.tensors["points"], marked.tensors["points"])


def test_perplexity_counts_in_tsne_and_the_map_begins_at_components() -> None:
    def points(perplexity: float, seed: int) -> Tensor:
        tool = scatter(method="tsne", perplexity=perplexity)
        return tool.draw(scene(LinearVAE(3), seed=seed)).tensors["points"]

    assert not torch.allclose(points(5.0, 0), points(12.0, 0), atol=0.5)
    assert torch.equal(points(12.0, 0), points(12.0, 1))  # and so not by chance


def test_a_class_that_is_named_twice_is_shown_once() -> None:
    tool = Manifold(size=3, spread="auto")
    picture = tool.draw(scene(ConditionalVAE(2), y=[1, 1, 2])).picture
    assert isinstance(picture, Stack) and len(picture.pictures) == 2


def test_queries_without_a_class_have_no_part_in_shares_of_classes() -> None:
    data = class_data()
    x, _ = split_images(data, "test", [0, 1])
    known, mixed = (
        neighbours().draw(scene(LinearAE(), images, data=data)).values
        for images in ([0], [0, x[1], x[1]])
    )
    shares = [name for name in known if "same_class" in name]
    assert len(shares) == 3
    assert [mixed[name] for name in shares] == [known[name] for name in shares]


def test_pixels_that_are_no_bytes_are_compared_as_they_are(monkeypatch: Any) -> None:
    looked = scene(LinearAE(), [torch.full((1, 4, 4), 0.5 + 0.3 / 255)])
    bytes_ = neighbours().draw(looked).tensors["pixel_distances"]
    monkeypatch.setattr(type(looked.subject), "quantizes", False)
    floats = neighbours().draw(looked).tensors
    train, _ = split_images(looked.data, "train", floats["by_pixels"][0].tolist())
    exact = (train - looked.inputs(1).x).flatten(1).double().norm(dim=1)
    torch.testing.assert_close(floats["pixel_distances"][0], exact, atol=1e-6, rtol=0)
    assert not torch.allclose(bytes_, floats["pixel_distances"], atol=1e-5)


def test_samples_beyond_a_block_have_their_own_class() -> None:
    looked = scene(ConditionalGAN(scales=[0.02] * 3), extractor=Extractor(Frozen(Pixels())))
    made = Nearest(k=1, num=300, num_train=None, shown=2).draw(looked).tensors
    codes = looked.noise(300)
    torch.testing.assert_close(made["images"], looked.decode(codes.z, codes.y))


@pytest.mark.parametrize("kind", [ProbableOfClass, ProbableWide])
def test_the_elbo_of_a_conditional_model_in_closed_form(kind: type[ProbableOfClass]) -> None:
    """With q(z|x, y) = N(code, 0.1 I): the error, and what the spread of codes adds on average."""
    x, y = split_images(class_data(), "test", range(6))
    assert y is not None
    plain = ProbableOfClass(scales=[0.1] * 3)
    error = (x - plain.reconstruct(x, y)).double().square().sum((1, 2, 3))
    expected = (error + 3 * 0.1 * 0.1**2) / (2 * STD**2) + 16 * math.log(
        STD * math.sqrt(2 * math.pi)
    )
    mu = plain.encode(x, y).double()
    expected += 0.5 * (mu.square() + 0.1 - 1 - math.log(0.1)).sum(1)
    scores = elbo_scores(ModelView(kind(scales=[0.1] * 3)), codes=500, seed=0)(x, y)
    torch.testing.assert_close(scores, expected, atol=0.1, rtol=0)


def test_codes_are_taken_evenly_where_their_number_does_not_divide_the_split() -> None:
    seen = scene(LinearAE())
    some, every = seen.encodings(num=30, evenly=True), seen.encodings()
    assert torch.equal(some.z, every.z[torch.arange(30) * 40 // 30])


def test_grids_come_in_the_order_of_their_steps(tmp_path: Path) -> None:
    folder = tmp_path / "samples"
    folder.mkdir()
    for step in (900, 1000, 20):
        (folder / f"samples-{step}.png").touch()
    assert [grid.step for grid in recorded(tmp_path, "samples")] == [20, 900, 1000]


def test_panels_are_the_grids_nearest_to_even_places() -> None:
    grids = [Grid(Path("x"), step) for step in range(9)]
    assert [grid.step for grid in thinned(grids, 4)] == [0, 3, 5, 8]  # of 0, 2⅔, 5⅓, 8


def test_a_hole_is_a_part_of_the_shorter_side() -> None:
    for shape in ((1, 12, 6), (1, 6, 12)):
        corruption = BlockMaskCorruption(side=0.5, fill=0.0, image_shape=shape)
        x = corruption(torch.ones(5, *shape), torch.randn(5, *shape))
        assert (x == 0).sum((1, 2, 3)).tolist() == [9] * 5


def test_an_image_that_is_exact_before_is_no_nearer_after() -> None:
    tool = Restore(corruption=GaussianCorruption(std=0.0), damaged=False, num=3)
    assert tool.draw(scene(Exact())).values["nearer_than_corrupted"] == "0 of 3"


def test_features_are_of_images_as_they_are_shown() -> None:
    """The search may leave [0, 1], where no feature was learnt."""
    extractor = Extractor(Frozen(Pixels()))
    looked = scene(LinearGAN(scales=[4.0] * 3), "random", extractor=extractor)
    target = chosen_target(looked)
    options = {"steps": 1, "lr": 0.1, "restarts": 1, "from_encoder": False}
    tool = Project(**options, prior_weight=0.0, feature_weight=2.0)  # type: ignore[arg-type]
    z = looked.noise(12).z[6:]
    images = (looked.view.module.decode(z) + 1) / 2  # type: ignore[operator]
    assert images.min() < 0 and images.max() > 1
    value = tool._objective(looked, target, torch.arange(6))(z)
    squares = (images - target.x).square().flatten(1).sum(1)
    seen = (images.clamp(0, 1) - target.x).square().flatten(1).sum(1)
    torch.testing.assert_close(value, squares + 2 * seen)


def test_the_error_is_summed_over_channels_too() -> None:
    shape = (3, 4, 4)
    data = image_data(InMemory(class_images(60, shape=shape), class_images(5, shape=shape)))
    model = LinearAE(image_shape=shape)
    x, _ = split_images(data, "test", range(5))
    expected = (x - model.reconstruct(x).clamp(0, 1)).double().square().sum((1, 2, 3))
    torch.testing.assert_close(error_scores(ModelView(model))(x, None), expected)


def test_the_error_at_the_start_is_that_of_the_start() -> None:
    looked = scene(LinearGAN(scales=[0.05] * 3), [0, 1])
    options = {"steps": 3, "lr": 0.1, "restarts": 1, "from_encoder": False}
    tool = Project(**options, prior_weight=0.0, feature_weight=0.0)  # type: ignore[arg-type]
    start = looked.decode(looked.noise(7).z[6:])
    expected = (start - looked.inputs(2).x).double().square().mean().item()
    assert tool.draw(looked).values["mean_start_error"] == pytest.approx(expected, rel=1e-5)
