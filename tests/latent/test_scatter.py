"""`tool=scatter`: principal components, the mass within contours, and what is seen."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from matplotlib.colors import to_rgb
from torch import Tensor

from evaluation.subjects import InMemory, image_data
from ganvas.errors import RunError
from ganvas.evaluation.mixture import Mixture
from ganvas.evaluation.priors import CodeSource, NormalPrior
from ganvas.latent.chart import Chart
from ganvas.latent.cloud import COLOURS, MOST, Cloud, Marks, style
from ganvas.latent.plane import (
    principal,
)
from ganvas.latent.scatter import Scatter
from ganvas.latent.scene import Scene
from latent.scenes import (
    ConditionalVAE,
    LinearAE,
    LinearGAN,
    LinearVAE,
    class_data,
    scene,
)
from models.tiny import SHAPE


def scatter(**options: Any) -> Scatter:
    return Scatter(**{"method": "auto", "num": 2000, "perplexity": 5.0, **options})


def normal(num: int, width: int, *, seed: int = 0) -> Tensor:
    return torch.randn(num, width, generator=torch.Generator().manual_seed(seed)).double()


class ShiftedVAE(LinearVAE):
    """The prior N((3, −2, …), diag(4, 1, …)), of known density."""

    standard_normal_prior = False

    def prior_codes(self, num: int, *, seed: int) -> Tensor:
        return super().prior_codes(num, seed=seed) * self._std + self._mean

    @property
    def _mean(self) -> Tensor:
        return torch.tensor([3.0, -2.0, *[0.0] * (self.latent_dim - 2)])

    @property
    def _std(self) -> Tensor:
        return torch.tensor([2.0, 1.0, *[1.0] * (self.latent_dim - 2)])

    def log_likelihood(self, x: Tensor, z: Tensor) -> Tensor:
        raise NotImplementedError

    def likelihood_kind(self) -> str:
        raise NotImplementedError

    def prior_density(self) -> Callable[[Tensor], Tensor]:
        return lambda z: torch.distributions.Normal(self._mean, self._std).log_prob(z).sum(1)


def with_prior(seen: Scene, load: Callable[[], CodeSource]) -> Scene:
    """The scene with another prior."""
    return Scene(
        seen.folder,
        seen.request,
        load_view=lambda: seen.view,
        load_data=lambda: seen.data,
        load_codes=load,
        load_subject=lambda: seen.subject,
    )


def no_prior() -> CodeSource:
    raise RunError("draws no samples")


# The drawing


def test_two_dimensions_are_shown_as_they_are() -> None:
    seen = scene(LinearVAE(2), data=class_data())
    drawing = scatter().draw(seen)
    codes = seen.encodings()
    torch.testing.assert_close(drawing.tensors["points"], codes.z.double())
    assert codes.y is not None
    torch.testing.assert_close(drawing.tensors["y"], codes.y)
    radii = codes.z.norm(dim=1)
    for name, radius in (("inside_39", 1), ("inside_86", 2), ("inside_99", 3)):
        assert drawing.values[name] == pytest.approx(float((radii <= radius).float().mean()))
    assert drawing.values["num"] == 40 and "codes are means of q(z|x)" in drawing.notes


def test_more_go_through_pca_with_the_variance_in_the_axes_names() -> None:
    seen = with_prior(scene(LinearAE(5, scales=[0.1, 1, 1, 1, 5])), no_prior)
    drawing = scatter().draw(seen)
    projection = principal(seen.encodings().z)
    torch.testing.assert_close(drawing.tensors["points"], projection(seen.encodings().z))
    assert projection.explained is not None
    share = float(projection.explained[0])
    assert isinstance(drawing.picture, Chart)
    axes = painted(drawing.picture)
    assert axes.get_xlabel() == f"first principal component ({100 * share:.1f} % of the variance)"
    assert drawing.values["explained_variance"] == pytest.approx(
        float(projection.explained.sum()), abs=1e-4
    )
    assert "inside_39" not in drawing.values
    assert "no contour of a prior: draws no samples" in drawing.notes


def test_codes_are_spread_over_the_split() -> None:
    seen = scene(LinearVAE(2), data=class_data())
    drawing = scatter(num=10).draw(seen)
    torch.testing.assert_close(drawing.tensors["codes"], seen.encodings().z[::4])


def test_tsne_depends_on_the_seed_alone_and_has_no_contour() -> None:
    data = class_data()
    tool = scatter(method="tsne", num=12, perplexity=3.0)
    torch.manual_seed(1)
    np.random.seed(1)  # noqa: NPY002 - what must have no effect
    first = tool.draw(scene(LinearVAE(4), data=data, seed=3))
    torch.manual_seed(2)
    np.random.seed(2)  # noqa: NPY002
    again = tool.draw(scene(LinearVAE(4), data=data, seed=3))
    torch.testing.assert_close(first.tensors["points"], again.tensors["points"], atol=0, rtol=0)
    assert first.tensors["points"].shape == (12, 2) and "inside_39" not in first.values
    assert any("t-SNE is no map" in note for note in first.notes)


def test_tsne_needs_more_codes_than_neighbours() -> None:
    with pytest.raises(ValueError, match=r"^perplexity must be below the number of codes, 40, got"):
        scatter(method="tsne", perplexity=40.0).draw(scene(LinearVAE(4)))


@pytest.mark.parametrize("method", ["auto", "pca"])
def test_a_known_density_has_contours_in_two_dimensions(method: str) -> None:
    model = ShiftedVAE(2, scales=[0.05, 0.05])
    chart = scatter(method=method).draw(scene(model)).picture
    assert isinstance(chart, Chart)
    assert any("prior:\n39, 86, 99 %" in text for text in legend(chart))
    if method == "auto":
        axes = painted(chart)
        (low, high), (left, right) = axes.get_ylim(), axes.get_xlim()
        assert right - left == pytest.approx(high - low)
        assert left < 3 - 3 * 2 + 0.6 and right > 3 + 3 * 2 - 0.6


def test_a_density_that_is_not_known_in_the_plane_is_drawn_from() -> None:
    drawing = scatter().draw(scene(ShiftedVAE(4)))
    assert any("grey crosses: 1,000 codes" in note for note in drawing.notes)
    assert isinstance(drawing.picture, Chart)
    assert any("drawn from" in text for text in legend(drawing.picture))


def test_the_prior_that_was_asked_for() -> None:
    drawing = scatter().draw(scene(LinearAE(2), prior=NormalPrior()))
    assert "inside_39" in drawing.values
    seen = scene(LinearAE(3), data=class_data())
    fitted = Mixture(torch.ones(1).double(), torch.zeros(1, 3).double(), torch.ones(1, 3).double())
    asked = with_prior(seen, lambda: fitted)
    values = scatter().draw(asked).values
    other = scatter().draw(scene(LinearVAE(3), data=seen.data)).values  # N(0, I), too
    for name in ("inside_39", "inside_86", "inside_99"):
        assert values[name] == pytest.approx(other[name], abs=0.08)


# What is seen


def painted(chart: Chart) -> Any:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 7))
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0.1, 0.1, 0.8, 0.8))
    chart.paint(axes)
    return axes


def legend(chart: Chart) -> list[str]:
    found = painted(chart).get_legend()
    return [] if found is None else [text.get_text() for text in found.get_texts()]


def colours(pixels: np.ndarray, colour: str) -> int:
    """Pixels of a colour."""
    wanted = np.round(255 * np.array(to_rgb(colour)))
    return int((np.abs(pixels.astype(int) - wanted).max(2) <= 2).sum())


def test_each_class_has_its_colour_its_name_and_a_line_in_the_legend() -> None:
    chart = scatter().draw(scene(LinearVAE(2))).picture
    assert isinstance(chart, Chart)
    assert legend(chart)[:3] == ["0", "1", "2"]
    pixels = chart.render()
    assert all(colours(pixels, colour) > 30 for colour in COLOURS[:3])
    assert colours(pixels, COLOURS[4]) == 0
    assert {"0", "1", "2"} <= {text.get_text() for text in painted(chart).texts}


def test_many_classes_have_a_colour_and_marker_each() -> None:
    styles = {style(index) for index in range(MOST)}
    assert len(styles) == MOST == 40


@pytest.mark.parametrize("num_classes", [1, 10, 40, 41, 200])
def test_any_number_of_classes_is_drawn(num_classes: int) -> None:
    points = normal(400, 2)
    labels = torch.arange(400) % num_classes
    chart = Chart("", Cloud(points, labels, ("", "")).paint)
    assert len(legend(chart)) == (num_classes if num_classes <= MOST else 0)
    assert chart.render().std() > 5


def test_no_labels_are_needed() -> None:
    drawing = scatter().draw(scene(LinearVAE(2), data=image_data(InMemory(num_classes=0))))
    assert "y" not in drawing.tensors and isinstance(drawing.picture, Chart)
    assert len(legend(drawing.picture)) == 1


def test_named_images_are_marked() -> None:
    seen = scene(LinearVAE(3), [2, 5], data=class_data())
    for method in ("pca", "tsne"):
        drawing = scatter(method=method, num=12, perplexity=3.0).draw(seen)
        assert isinstance(drawing.picture, Chart)
        texts = {text.get_text() for text in painted(drawing.picture).texts}
        assert {"test 2 (class 2)", "test 5 (class 2)"} <= texts
        assert drawing.inputs == ["test 2 (class 2)", "test 5 (class 2)"]
    marks = Marks(torch.tensor([[9.0, 9.0]]).double(), ["far"])
    axes = painted(Chart("", Cloud(normal(9, 2), None, ("", ""), marks=marks).paint))
    assert axes.get_xlim()[1] > 9


def test_codes_of_a_conditional_model_are_given_the_class() -> None:
    seen = scene(ConditionalVAE(2), data=class_data())
    drawing = scatter().draw(seen)
    torch.testing.assert_close(drawing.tensors["codes"], seen.encodings().z)
    assert any("told the class" in note for note in drawing.notes)


def test_what_does_not_fit_is_refused() -> None:
    assert "has no encoder" in (scatter().unfit(LinearGAN) or "")
    with pytest.raises(ValueError, match=r"at least 2 dimensions .* got 1; .*model\.latent_dim=2"):
        scatter().draw(scene(LinearVAE(1)))
    with pytest.raises(ValueError, match=r"^images=random: codes of images are shown"):
        scatter().draw(scene(LinearVAE(2), "random"))
    images = np.zeros((60, *SHAPE), dtype=np.uint8)
    broken = LinearVAE(2)
    broken.w.fill_(float("nan"))
    with pytest.raises(ValueError, match=r"NaN or infinite codes"):
        scatter().draw(scene(broken, data=image_data(InMemory(images, images))))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "umap"}, "^method must be auto, pca or tsne, got 'umap'"),
        ({"num": 2}, "^num must be at least 3 images, got 2"),
        ({"perplexity": 0.0}, "^perplexity must be a finite number above 0, got 0"),
    ],
)
def test_options_out_of_range_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        scatter(**options)
