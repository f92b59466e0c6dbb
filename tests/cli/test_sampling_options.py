"""`ganvas sample` with a class and with truncation, and the same in Python."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from engine_helpers import ganvas, only_run, train
from PIL import Image

import ganvas as library
from ganvas.errors import RunError
from ganvas.nn.noise import truncated


@pytest.fixture(scope="module")
def class_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished conditional GAN of ten classes; for reading only."""
    folder = tmp_path_factory.mktemp("conditional")
    said = train(f"paths.runs_dir={folder}", "model=conditional_gan", "network=dense_gan")
    assert said.code == 0, said.err
    return only_run(folder)


def drawn(run: Path, out: Path, *options: str) -> np.ndarray:
    said = ganvas("sample", str(run), "accelerator=cpu", "format=npz", f"out={out}", *options)
    assert (said.code, said.out) == (0, f"{out}\n"), said.err
    return np.load(out)["images"]


def pixels(images: torch.Tensor) -> np.ndarray:
    return (images * 255).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()


@pytest.mark.parametrize(
    ("asked", "labels"),
    [
        ("null", [0, 1, 2, 3, 4, 5, 6]),
        ("3", [3, 3, 3, 3, 3, 3, 3]),
        ("[3,5]", [3, 5, 3, 5, 3, 5, 3]),
        ("[9,9,1]", [9, 9, 1, 9, 9, 1, 9]),
    ],
)
def test_classes_are_those_asked_for_in_turn(
    class_run: Path, tmp_path: Path, asked: str, labels: list[int]
) -> None:
    view = library.load_run(class_run).model
    got = drawn(class_run, tmp_path / "a.npz", "n=7", "seed=2", f"y={asked}")
    expected = view.decode(view.prior_codes(7, seed=2), torch.tensor(labels))
    np.testing.assert_array_equal(got, pixels(expected))


def test_in_python_a_class_may_be_a_number_a_list_or_labels(class_run: Path) -> None:
    view = library.load_run(class_run).model
    labels = torch.tensor([4, 2, 4])
    assert torch.equal(view.class_labels(3, [4, 2]), labels)
    assert torch.equal(view.sample(3, y=[4, 2]), view.sample(3, y=labels))
    assert torch.equal(view.sample(3, y=4), view.sample(3, y=torch.full((3,), 4)))
    assert torch.equal(view.sample(3), view.sample(3, y=[0, 1, 2]))
    assert not torch.equal(view.sample(3, y=4), view.sample(3, y=2))


def test_columns_of_a_grid_are_classes(class_run: Path, tmp_path: Path) -> None:
    """Images of 8 pixels with borders of 2: three classes in six columns for 30 images."""
    out = tmp_path / "grid.png"
    said = ganvas("sample", str(class_run), "accelerator=cpu", "n=30", "y=[7,1,4]", f"out={out}")
    assert said.code == 0, said.err
    picture = np.asarray(Image.open(out))[..., 0]
    factor = round(512 / (6 * 8))
    side = 8 * factor + 2
    assert picture.shape == (5 * side + 2, 6 * side + 2)
    corners = [(2 + r * side, 2 + c * side) for r in range(5) for c in range(6)]
    whole = 8 * factor
    tiles = [picture[y : y + whole : factor, x : x + whole : factor] for y, x in corners]
    expected = library.load_run(class_run).model.sample(30, y=[7, 1, 4])
    np.testing.assert_array_equal(np.stack(tiles), pixels(expected)[..., 0])


@pytest.mark.parametrize("model", ["vae_run", "gan_run", "class_run"])
def test_truncated_samples_are_those_of_truncated_noise(
    model: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    run = request.getfixturevalue(model)
    view = library.load_run(run).model
    codes = truncated(view.prior_codes(5, seed=1), 0.4)
    assert torch.equal(view.prior_codes(5, seed=1, truncation=0.4), codes)
    expected = view.sample(5, noise=codes)
    assert torch.equal(view.sample(5, seed=1, truncation=0.4), expected)
    got = drawn(run, tmp_path / "a.npz", "n=5", "seed=1", "truncation=0.4")
    np.testing.assert_array_equal(got, pixels(expected))
    far = drawn(run, tmp_path / "b.npz", "n=5", "seed=1", "truncation=50")
    np.testing.assert_allclose(far.astype(int), pixels(view.sample(5, seed=1)), atol=1)
    assert (got != far).any()


@pytest.mark.parametrize(
    ("options", "name"),
    [
        (["y=3"], "drawn-last-n2-seed0-y3.npz"),
        (["y=[0,3]", "truncation=0.5"], "drawn-last-n2-seed0-y0-3-truncation0.5.npz"),
        (["truncation=1"], "drawn-last-n2-seed0-truncation1.npz"),
        ([f"y=[{','.join(['1'] * 300)}]"], "drawn-last-n2-seed0-y300classes-*.npz"),
    ],
)
def test_the_file_says_what_was_drawn(class_run: Path, options: list[str], name: str) -> None:
    said = ganvas("sample", str(class_run), "accelerator=cpu", "n=2", "format=npz", *options)
    out = Path(said.out.strip())
    assert said.code == 0, said.err
    assert out.is_file()
    assert out.match(f"samples/{name}")
    out.unlink()


def test_noise_that_is_given_is_not_truncated(class_run: Path) -> None:
    view = library.load_run(class_run).model
    noise = view.prior_codes(2)
    with pytest.raises(RunError, match=r"truncation=0.5: noise is given and taken as it is"):
        view.sample(2, noise=noise, truncation=0.5)
    with pytest.raises(RunError, match=r"truncation must be positive, got -1"):
        view.sample(2, truncation=-1)


def test_no_class_is_no_choice(class_run: Path) -> None:
    with pytest.raises(RunError, match=r"^y: must be a class .*, got \[\]$"):
        library.load_run(class_run).model.sample(2, y=[])


@pytest.mark.parametrize("name", ["?", "grid", "grid.txt", "a.b/c"])
def test_a_grid_needs_the_name_of_a_picture(name: str, tmp_path: Path) -> None:
    said = ganvas("sample", str(tmp_path), f'out="{name}"')
    assert said.code == 2 and said.message.startswith(f"out={name}: a grid is a picture; give a")
