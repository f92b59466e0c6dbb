"""Image search against double loops, in closed form, and the panels that show it."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
import yaml
from torch import Tensor

from evaluation.subjects import InMemory, image_data, random_images
from ganvas.data.given import split_images
from ganvas.errors import RunError
from ganvas.latent.hits import nearest_codes, without
from ganvas.latent.neighbours import Neighbours
from ganvas.latent.sheet import Sheet
from ganvas.latent.tool import Drawing
from ganvas.metrics.nearest import Found
from ganvas.paths import config_dir
from ganvas.pictures import to_uint8
from latent.scenes import ConditionalVAE, LinearAE, LinearGAN, LinearVAE, class_data, scene

DATA = class_data()


def neighbours(**changed: Any) -> Neighbours:
    """The tool as its YAML has it, but for few neighbours and queries."""
    options = yaml.safe_load((config_dir() / "tool" / "neighbours.yaml").read_text())
    del options["_target_"]
    return Neighbours(**{**options, "k": 4, "measured": 6, "shown": 2, **changed})


def sheet_of(drawing: Drawing) -> Sheet:
    assert isinstance(drawing.picture, Sheet)
    return drawing.picture


def everything(split: Any) -> tuple[Tensor, Tensor]:
    """All images of a split and their labels."""
    x, y = split_images(DATA, split, range(DATA.counts[split]))
    assert y is not None
    return x, y


def by_loops(
    queries: Tensor, points: Tensor, *, k: int, itself: bool = True, cosine: bool = False
) -> list[list[int]]:
    """Indices of the k nearest, where query i is point i if it is left out."""
    rows = []
    for i, x in enumerate(queries.double()):
        found = []
        for j, y in enumerate(points.double()):
            distance = 1 - x @ y / (x.norm() * y.norm()) if cosine else (x - y).norm()
            if itself or i != j:
                found.append((distance.item(), j))
        rows.append([j for _, j in sorted(found)[:k]])
    return rows


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
@pytest.mark.parametrize("model", [LinearAE(), LinearVAE()])
def test_neighbours_are_those_of_loops(model: LinearAE, metric: str) -> None:
    drawing = neighbours(metric=metric).draw(scene(model, data=DATA))
    queries, points = everything("test")[0][:6], everything("train")[0]
    codes = by_loops(model.encode(queries), model.encode(points), k=4, cosine=metric == "cosine")
    assert drawing.tensors["by_code"].tolist() == codes
    pixels = by_loops(queries.flatten(1), points.flatten(1), k=4)
    assert drawing.tensors["by_pixels"].tolist() == pixels
    assert codes != pixels
    differences = queries[:, None] - points[drawing.tensors["by_pixels"]]
    expected = differences.double().square().sum((2, 3, 4)).sqrt()
    torch.testing.assert_close(drawing.tensors["pixel_distances"], expected, rtol=1e-6, atol=0)
    assert (drawing.tensors["code_distances"].diff(dim=1) >= 0).all()


def test_an_image_of_the_searched_split_is_no_neighbour_of_itself() -> None:
    drawing = neighbours(within="test").draw(scene(LinearVAE(), data=DATA))
    images = everything("test")[0]
    pixels = by_loops(images[:6].flatten(1), images.flatten(1), k=4, itself=False)
    assert drawing.tensors["by_pixels"].tolist() == pixels
    assert all(i not in row for i, row in enumerate(drawing.tensors["by_code"].tolist()))
    assert any("no neighbour of itself" in note for note in drawing.notes)


def test_the_same_image_from_elsewhere_is_found_at_distance_0() -> None:
    image = everything("train")[0][7]
    drawing = neighbours().draw(scene(LinearVAE(), [image], data=DATA))
    assert drawing.tensors["by_code"][0, 0] == 7
    assert drawing.tensors["by_pixels"][0, 0] == 7
    assert sheet_of(drawing).captions[1][1].startswith("7 · 0\nclass ")
    assert not any("itself" in note for note in drawing.notes)


def test_of_mixed_images_those_of_the_split_are_left_out() -> None:
    image = everything("test")[0][30]
    drawing = neighbours(within="test").draw(scene(LinearVAE(), [8, image, 5], data=DATA))
    rows = drawing.tensors["by_pixels"].tolist()
    assert 8 not in rows[0]
    assert rows[1][0] == 30
    assert 5 not in rows[2]
    assert drawing.notes[-1].startswith("these 3 queries: ")
    assert drawing.notes[-1].endswith(" by chance (of 2 with a class)")


def test_a_position_in_another_split_is_nobody_of_the_searched_one() -> None:
    """Test image 3 may have train image 3 as its neighbour."""
    train = random_images(60, seed=1)
    data = image_data(InMemory(train, train.copy()), val_size=0)
    other = neighbours().draw(scene(LinearVAE(), [3], data=data))
    assert other.tensors["by_pixels"][0, 0] == 3
    same = neighbours().draw(scene(LinearVAE(), [3], split="train", data=data))
    assert same.tensors["by_pixels"][0, :3].tolist() == other.tensors["by_pixels"][0, 1:].tolist()


def test_beyond_the_searched_images_nothing_is_left_out() -> None:
    few = neighbours(within="test", num_searched=4).draw(scene(LinearVAE(), [30], data=DATA))
    assert sorted(few.tensors["by_code"][0].tolist()) == [0, 1, 2, 3]


def test_a_query_goes_or_else_the_farthest() -> None:
    found = Found(
        torch.tensor([[0.0, 1, 2], [0, 0, 0], [1, 2, 3]]),
        torch.tensor([[5, 6, 7], [8, 9, 4], [0, 1, 2]]),
    )
    left = without(found, [5, 3, None])
    assert left.indices.tolist() == [[6, 7], [8, 9], [0, 1]]
    assert left.distances.tolist() == [[1, 2], [0, 0], [1, 2]]


def test_cosine_distances_of_known_angles() -> None:
    angles = torch.tensor([0.0, 30, 90, 180]).deg2rad()
    lengths = torch.tensor([[5.0], [0.1], [1], [7]])
    codes = lengths * torch.stack([angles.cos(), angles.sin()], 1)
    found = nearest_codes(torch.tensor([[2.0, 0]]), codes, k=4, metric="cosine")
    assert found.indices.tolist() == [[0, 1, 2, 3]]
    expected = torch.tensor([[0, 1 - math.sqrt(3) / 2, 1, 2]], dtype=torch.float64)
    torch.testing.assert_close(found.distances, expected, rtol=1e-6, atol=1e-7)


def test_codes_without_a_direction_have_no_cosine() -> None:
    with pytest.raises(ValueError, match=r"got 2 of length 0; take tool.metric=euclidean"):
        nearest_codes(torch.ones(1, 3), torch.zeros(2, 3), k=1, metric="cosine")


def test_values_are_shares_over_all_queries() -> None:
    drawing = neighbours().draw(scene(LinearVAE(), data=DATA))
    (_, classes), (_, labels) = everything("test"), everything("train")
    code, pixels = drawing.tensors["by_code"].tolist(), drawing.tensors["by_pixels"].tolist()

    def share(rows: list[list[int]]) -> float:
        hits = [labels[j] == classes[i] for i, row in enumerate(rows) for j in row]
        return sum(map(int, hits)) / len(hits)

    both = sum(len(set(a) & set(b)) for a, b in zip(code, pixels, strict=True))
    chance = sum((labels == y).double().mean().item() for y in classes[:6]) / 6
    assert drawing.values == pytest.approx(
        {
            "queries": 6,
            "in_both": both / 24,
            "same_class_by_code": share(code),
            "same_class_by_pixels": share(pixels),
            "same_class_by_chance": chance,
        }
    )
    assert share(pixels) > 0.9  # the rows of these images tell their class
    assert drawing.notes[-1] == (
        f"the first 6 images of test: {100 * both / 24:.0f} % of neighbours are in both lists; "
        f"{100 * share(code):.0f} % by code have the query's class, "
        f"{100 * share(pixels):.0f} % by pixels, {100 * chance:.0f} % by chance"
    )


def test_images_without_a_class_have_no_shares_of_classes() -> None:
    unlabelled = image_data(InMemory(num_classes=0))
    for made in (
        neighbours().draw(scene(LinearVAE(), data=unlabelled)),
        neighbours().draw(scene(LinearVAE(), [torch.rand(1, 4, 4)], data=DATA)),
    ):
        assert set(made.values) == {"queries", "in_both"}
        assert "✓" not in str(sheet_of(made).captions)


def test_a_conditional_model_is_told_the_classes() -> None:
    model = ConditionalVAE()
    drawing = neighbours().draw(scene(model, data=DATA))
    (x, y), (points, labels) = everything("test"), everything("train")
    expected = by_loops(model.encode(x[:6], y[:6]), model.encode(points, labels), k=4)
    assert drawing.tensors["by_code"].tolist() == expected
    assert any("told the class" in note for note in drawing.notes)
    with pytest.raises(RunError, match="is conditional"):
        neighbours().draw(scene(model, [x[0]], data=DATA))
    given = neighbours().draw(scene(model, [x[0]], y=2, data=DATA))
    expected = by_loops(model.encode(x[:1], torch.tensor([2])), model.encode(points, labels), k=4)
    assert given.tensors["by_code"].tolist() == expected


def test_every_panel_is_where_it_was_promised() -> None:
    drawing = neighbours().draw(scene(LinearVAE(), data=DATA))
    sheet, pixels = sheet_of(drawing), drawing.picture.render()
    (queries, classes), (points, labels) = everything("test"), everything("train")
    assert "nearest of 50 training images" in sheet.title
    assert [len(row) for row in sheet.rows] == [5] * 4
    assert sheet.marked == {(0, 0), (2, 0)}
    assert [label.split("\n")[0] for label in sheet.row_labels] == ["by code", "by pixels"] * 2
    for row in range(4):
        name = ("by_code", "by_pixels")[row % 2]
        for column, j in enumerate(drawing.tensors[name][row // 2].tolist(), 1):
            left, top, right, bottom = sheet.boxes[row, column]
            small = pixels[top : bottom : sheet.zoom, left : right : sheet.zoom, 0]
            assert (small == to_uint8(points[j])[0]).all()
            mark = "✓" if labels[j] == classes[row // 2] else "✗"
            caption = sheet.captions[row][column]
            assert caption.startswith(f"{j} · ")
            assert caption.endswith(f"class {labels[j]} {mark}")
    assert torch.equal(sheet.rows[2][0], queries[1])
    assert sheet.rows[1][0] is sheet.rows[3][0] is None
    assert sheet.captions[2][0] == f"test 1 (class {classes[1]})"


def test_the_row_says_how_many_are_alike() -> None:
    drawing = neighbours().draw(scene(LinearVAE(), [5], data=DATA))
    _, classes = everything("test")
    _, labels = everything("train")
    code, pixels = (drawing.tensors[name][0].tolist() for name in ("by_code", "by_pixels"))
    same = [sum(int(labels[j] == classes[5]) for j in row) for row in (code, pixels)]
    assert sheet_of(drawing).row_labels == [
        f"by code\n{same[0]} of 4 of its class",
        f"by pixels\n{same[1]} of 4 of its class\n{len({*code} & {*pixels})} of 4 in both",
    ]


def test_named_images_are_all_shown_and_measured() -> None:
    drawing = neighbours(shown=1, measured=1).draw(scene(LinearVAE(), [0, 9, 4], data=DATA))
    assert len(sheet_of(drawing).rows) == 6
    assert drawing.values["queries"] == len(drawing.inputs) == 3
    assert len(sheet_of(neighbours(shown=50).draw(scene(LinearVAE(), data=DATA))).rows) == 12


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"k": 0}, "k must be at least 1, got 0"),
        ({"metric": "manhattan"}, "metric must be euclidean or cosine, got 'manhattan'"),
        ({"within": "all"}, "within must be train, val or test, got 'all'"),
        ({"num_searched": 0}, "num_searched must be at least 1, got 0"),
        ({"measured": -1}, "measured must be at least 1, got -1"),
        ({"shown": 0}, "shown must be at least 1, got 0"),
    ],
)
def test_options_out_of_range_are_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        neighbours(**options)


def test_what_can_not_be_searched_is_refused() -> None:
    with pytest.raises(ValueError, match=r"k=51: 50 images are searched, .* smaller tool.k"):
        neighbours(k=51).draw(scene(LinearVAE(), data=DATA))
    with pytest.raises(ValueError, match="neighbours besides the image itself"):
        neighbours(k=10, within="val").draw(scene(LinearVAE(), split="val", data=DATA))
    with pytest.raises(ValueError, match="must be images to search for, got random"):
        neighbours().draw(scene(LinearVAE(), "random", data=DATA))
    assert "no encoder" in (neighbours().unfit(LinearGAN) or "")
    assert neighbours().unfit(LinearAE) is None
