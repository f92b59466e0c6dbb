"""Images ranked by how odd they are: scores in closed form, AUROC against scikit-learn, panels."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from scipy.stats import percentileofscore, rankdata
from sklearn.metrics import roc_auc_score
from torch import Tensor

from evaluation.subjects import InMemory, image_data
from ganvas.data.given import split_images
from ganvas.errors import RunError
from ganvas.latent.anomaly import Anomaly, _noise, elbo_scores
from ganvas.latent.chart import Chart, Stack
from ganvas.latent.ranked import _of_inputs
from ganvas.latent.sheet import Sheet
from ganvas.latent.tool import Drawing
from ganvas.losses.divergences import standard_normal_kl
from ganvas.metrics.ranks import auroc, mid_ranks, percentiles
from ganvas.models.view import ModelView
from latent.scenes import ConditionalVAE, LinearAE, LinearGAN, LinearVAE, class_data, scene
from models.tiny import SHAPE

STD = 0.3


class Probable(LinearVAE):
    """`LinearVAE` with p(x|z) = N(decode(z), STD² I)."""

    def likelihood_kind(self) -> str:
        return "density"

    def log_likelihood(self, x: Tensor, z: Tensor) -> Tensor:
        density = torch.distributions.Normal(self.decode(z), STD)
        return density.log_prob(x).flatten(1).sum(1)

    def prior_density(self) -> Any:
        return lambda z: torch.distributions.Normal(0.0, 1.0).log_prob(z).sum(1)


def tool(**options: Any) -> Anomaly:
    chosen = {"score": "error", "codes": 3, "odd": None, "num": None, "shown": 4, **options}
    return Anomaly(**chosen)


def parts(drawing: Drawing) -> tuple[Sheet, Chart]:
    assert isinstance(drawing.picture, Stack)
    sheet, chart = drawing.picture.pictures
    assert isinstance(sheet, Sheet)
    assert isinstance(chart, Chart)
    return sheet, chart


def images(num: int = 40) -> Tensor:
    return split_images(class_data(), "test", range(num))[0]


def drawn(num: int, *, values: int, seed: int) -> tuple[Tensor, Tensor]:
    """Scores, with ties where there are few values, and which are odd."""
    rng = np.random.default_rng(seed)
    odd = rng.random(num) < 0.3
    odd[:2] = True, False
    scores = rng.integers(0, values, num) + 0.2 * values * odd
    return torch.from_numpy(scores.round()), torch.from_numpy(odd)


@pytest.mark.parametrize("values", [2, 5, 40, 10**6])
@pytest.mark.parametrize("num", [2, 3, 50, 400])
def test_auroc_is_that_of_scikit_learn_ties_included(num: int, values: int) -> None:
    scores, odd = drawn(num, values=values, seed=num + values)
    found = auroc(scores, odd)
    assert found.value == pytest.approx(roc_auc_score(odd, scores), abs=1e-12)
    assert (found.num_odd, found.num_usual) == (int(odd.sum()), int((~odd).sum()))
    assert auroc(-scores, odd).value == pytest.approx(1 - found.value, abs=1e-12)


def test_the_error_of_auroc_is_delong_s_by_a_double_loop() -> None:
    scores, odd = drawn(60, values=9, seed=3)
    wins = (scores[odd][:, None] > scores[~odd]) + 0.5 * (scores[odd][:, None] == scores[~odd])
    one, other = wins.double().mean(1), wins.double().mean(0)
    expected = math.sqrt(one.var() / len(one) + other.var() / len(other))
    assert auroc(scores, odd).error == pytest.approx(expected, abs=1e-12)
    assert math.isnan(auroc(torch.arange(3.0), torch.tensor([True, False, False])).error)


def test_scores_that_part_the_kinds_wholly_have_area_1_and_no_error() -> None:
    found = auroc(torch.arange(6.0), torch.arange(6) > 2)
    assert (found.value, found.error) == (1.0, 0.0)


def test_ranks_and_percentiles_are_scipy_s() -> None:
    values, _ = drawn(100, values=7, seed=0)
    assert mid_ranks(values).tolist() == rankdata(values).tolist()
    points = torch.tensor([-1.0, 0.0, 3.0, 3.5, 99.0]).double()
    expected = percentileofscore(values, points, kind="mean")
    torch.testing.assert_close(percentiles(points, values), torch.from_numpy(expected))


def test_the_error_is_the_squared_distance_from_the_reconstruction() -> None:
    model = LinearAE()
    scores = tool().draw(scene(model)).tensors["scores"]
    made = model.reconstruct(images()).clamp(0, 1).double()
    torch.testing.assert_close(scores, (images() - made).square().sum((1, 2, 3)))
    whole = tool().draw(scene(LinearAE(16))).tensors["scores"]  # nothing is lost
    torch.testing.assert_close(whole, torch.zeros(40).double(), atol=1e-10, rtol=0)


def test_the_elbo_of_a_sharp_posterior_is_in_closed_form() -> None:
    model = Probable(variances=[1e-12] * 3)
    scores = tool(score="elbo").draw(scene(model)).tensors["scores"]
    error = (images() - model.reconstruct(images())).double().square().sum((1, 2, 3))
    distortion = error / (2 * STD**2) + 16 * math.log(STD * math.sqrt(2 * math.pi))
    rate = standard_normal_kl(model.posterior(images())).double()
    torch.testing.assert_close(scores, distortion + rate, atol=1e-4, rtol=1e-5)


def test_many_codes_give_the_expected_elbo_with_a_prior_of_any_kind() -> None:
    model, x = Probable(variances=[0.02, 0.05, 0.1]), images(3)
    error = (x - model.reconstruct(x)).double().square().sum((1, 2, 3))
    spread = model.variances.double().sum()  # E|decode(z) − decode(mu)|²
    expected = (error + spread) / (2 * STD**2) + 16 * math.log(STD * math.sqrt(2 * math.pi))
    expected += standard_normal_kl(model.posterior(x)).double()
    with torch.no_grad():
        exact = elbo_scores(ModelView(model), codes=4000, seed=0)(x, None)
        model.standard_normal_prior = False  # the rate from codes too
        sampled = elbo_scores(ModelView(model), codes=4000, seed=0)(x, None)
    torch.testing.assert_close(exact, expected, atol=0.15, rtol=0)
    torch.testing.assert_close(sampled, expected, atol=0.2, rtol=0)
    assert not torch.equal(exact, sampled)


def test_a_score_is_a_function_of_the_image_and_the_seed_alone() -> None:
    def scored(given: Any, seed: int = 0) -> dict[str, Tensor]:
        return dict(tool(score="elbo").draw(scene(Probable(), given, seed=seed)).tensors)

    one, both = scored([7]), scored([3, 7, images()[7]])
    torch.testing.assert_close(one["given_scores"][0], one["scores"][7])
    torch.testing.assert_close(both["given_scores"], one["scores"][[3, 7, 7]])
    assert not torch.allclose(scored([7], seed=1)["scores"], one["scores"])


def test_noise_differs_between_images_and_not_between_lists() -> None:
    noise = _noise(images(3), (2, 5), seed=0)
    assert noise.shape == (3, 2, 5)
    assert torch.equal(_noise(images(3)[1:2], (2, 5), seed=0)[0], noise[1])
    assert not torch.equal(noise[0], noise[1])
    assert not torch.equal(_noise(images(3), (2, 5), seed=1), noise)


def test_the_oddest_and_the_most_usual_are_shown_with_their_reconstructions() -> None:
    model = LinearAE()
    drawing = tool(shown=10).draw(scene(model))
    sheet, chart = parts(drawing)
    scores, positions = drawing.tensors["scores"], drawing.tensors["positions"].tolist()
    order = scores.sort().indices.tolist()
    assert positions == order[::-1][:10] + order[:10]
    assert sheet.row_labels == ["oddest", "rebuilt"] * 2 + ["most usual", "rebuilt"] * 2
    assert [len(row) for row in sheet.rows] == [8, 8, 2, 2] * 2
    for row, start in ((0, 0), (2, 8), (4, 10), (6, 18)):
        for column, image in enumerate(sheet.rows[row]):
            position, made = positions[start + column], sheet.rows[row + 1][column]
            assert torch.equal(image, images()[position])
            expected = model.reconstruct(images()[position][None])[0].clamp(0, 1)
            torch.testing.assert_close(made, expected)
            assert sheet.captions[row][column] == f"test {position} (class {position % 3})"
            assert sheet.captions[row + 1][column] == f"error {scores[position]:.3g}"
            assert ((row, column) in sheet.boxes) == ((row, column) in sheet.marked)
    assert chart.title == "Scores of 40 images of test"
    assert drawing.picture.render(["small print"]).shape[2] == 3
    few, _ = parts(tool(num=5).draw(scene(model)))
    assert [len(row) for row in few.rows] == [2, 2, 2, 2]


def test_odd_classes_are_compared_with_the_others() -> None:
    drawing = tool(odd=[0, 2], num=30).draw(scene(LinearAE()))
    is_odd = torch.arange(30) % 3 != 1
    values, expected = drawing.values, roc_auc_score(is_odd, drawing.tensors["scores"])
    assert values["auroc"] == pytest.approx(expected, abs=1e-12)
    assert (values["odd_images"], values["usual_images"]) == (20, 10)
    train = [b.y for b in scene(LinearAE()).subject.batches("train") if b.y is not None]
    num = int((torch.cat(train) != 1).sum())
    assert values["odd_images_in_training"] == num
    assert any(f"classes 0, 2: {num} of 50 training images" in note for note in drawing.notes)
    assert parts(drawing)[1].title.startswith(f"Scores of 30 images of test: AUROC {expected:.3f}")
    easier = any("AUROC under 0.5" in note for note in drawing.notes)
    assert easier == (expected < 0.5)


def test_given_images_are_ranked_and_have_their_percentile_in_the_split() -> None:
    noise = torch.rand(2, *SHAPE, generator=torch.Generator().manual_seed(0)).round()
    drawing = tool(shown=1).draw(scene(LinearAE(), [5, noise]))
    sheet, _ = parts(drawing)
    scores, found = drawing.tensors["scores"], drawing.tensors["given_scores"]
    expected = percentileofscore(scores, found, kind="mean")
    np.testing.assert_allclose(drawing.tensors["percentiles"], expected)
    assert expected[0] < 100 == expected[1] == expected[2]  # black and white noise is odd indeed
    first = found.argsort(descending=True).tolist()[:2]  # twice `show`
    names = ["test 5 (class 2)", "image 1", "image 2"]
    assert drawing.inputs == names
    assert sheet.captions[0] == [names[i] for i in first]
    assert sheet.captions[1][0] == f"error {found.max():.3g}\nodder than\n100.0 % of test"
    line = f"error {found.max():.3g}, odder than 100.0 % of test"
    assert drawing.values[f"1. {names[first[0]]}"] == line
    assert drawing.notes == ["1 less odd ones are not shown"]


@pytest.mark.parametrize("odd", [None, 1])
def test_the_chart_counts_each_kind_s_images_and_marks_given_ones(odd: int | None) -> None:
    _, chart = parts(tool(odd=odd).draw(scene(LinearAE(), [3, 4])))
    axes = Figure().add_subplot()
    chart.paint(axes)
    heights = [sum(bar.get_height() for bar in bars) for bars in axes.containers]  # type: ignore
    assert heights == pytest.approx([100.0] * (1 if odd is None else 2))
    assert len(axes.lines) == len(axes.texts) == 2
    legend = axes.get_legend()
    labels = [text.get_text() for text in legend.get_texts()] if legend else []
    expected = ["all others (27 images)", "class 1 (13 images)"]
    assert labels == ([] if odd is None else expected)
    assert "squared error" in axes.get_xlabel()


def test_names_of_given_images_do_not_stand_on_each_other() -> None:
    _, chart = parts(tool().draw(scene(LinearAE(), [3, 3, 4])))
    axes = Figure().add_subplot()
    chart.paint(axes)
    assert len(axes.lines) == 3
    assert sorted(text.get_text()[:6] for text in axes.texts) == ["test 3", "test 4"]


def test_equal_scores_can_be_drawn() -> None:
    black = InMemory(test=np.zeros((6, *SHAPE), dtype=np.uint8))
    drawing = tool(odd=0).draw(scene(LinearAE(), data=image_data(black)))
    assert drawing.values["auroc"] == 0.5
    assert drawing.picture.render().ndim == 3


def test_a_conditional_model_is_told_the_class() -> None:
    drawing = tool(odd=1).draw(scene(ConditionalVAE()))
    assert drawing.tensors["scores"].shape == (40,)
    with pytest.raises(RunError, match=r"y: ConditionalVAE is conditional"):
        tool().draw(scene(ConditionalVAE(), [images(1)]))
    assert tool().draw(scene(ConditionalVAE(), [images(1)], y=1)).inputs == ["image 0 (class 1)"]


def test_images_and_labels_are_scored_on_the_models_device() -> None:
    found, seen = scene(ConditionalVAE(), [0, 1]).inputs(None), []

    def function(x: Tensor, y: Tensor | None) -> Tensor:
        seen.extend([x.device.type, y.device.type if y is not None else ""])
        return torch.zeros(len(x))

    _of_inputs(found, ModelView(ConditionalVAE().to("meta")), function)
    assert seen == ["meta", "meta"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"score": "elbow"}, r"^score must be error or elbo, got 'elbow'"),
        ({"codes": 0}, r"^codes must be from 1 to 1000, got 0"),
        ({"shown": 0}, r"^shown must be from 1 to 50, got 0"),
        ({"num": 1}, r"^num must be at least 2 images, which are ranked, got 1"),
        ({"odd": []}, r"^odd must be a class \(0, 1, …\), several, or null, got \[\]"),
        ({"odd": -1}, r"^odd must be a class .* got -1"),
    ],
)
def test_values_out_of_range_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        tool(**options)


def test_labels_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match=r"odd must name .* 40 images of test \(0, 1, 2\), got 7;"):
        tool(odd=[1, 7]).draw(scene(LinearAE()))
    with pytest.raises(ValueError, match=r"2 images of test \(0, 1\), got 2; choose others, or m"):
        tool(odd=2, num=2).draw(scene(LinearAE()))
    with pytest.raises(ValueError, match=r"odd must leave some of the 40 images of test usual"):
        tool(odd=[0, 1, 2]).draw(scene(LinearAE()))
    bare = image_data(InMemory(num_classes=0))
    with pytest.raises(ValueError, match=r"odd=\[1\]: images of .* have no labels; leave odd out"):
        tool(odd=1).draw(scene(LinearAE(), data=bare))


def test_models_that_do_not_fit_are_refused() -> None:
    assert "reconstructs nothing" in (tool().unfit(LinearGAN) or "")
    assert "or tool.score=error" in (tool(score="elbo").unfit(LinearAE) or "")
    assert tool(score="elbo").unfit(Probable) is None
    assert tool().unfit(LinearAE) is None
    diverged = LinearAE()
    diverged.w.fill_(math.nan)
    with pytest.raises(RunError, match=r"NaN or infinite"):
        tool().draw(scene(diverged))
