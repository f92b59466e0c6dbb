"""Pictures of trained runs: on disk whole, with a text that makes them again."""

from __future__ import annotations

import hashlib
import shlex
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from engine_helpers import ganvas
from PIL import Image

import ganvas as library
from ganvas.engine.checkpoint_files import AtomicCheckpointIO
from ganvas.engine.command import as_override
from ganvas.engine.compose import compose, resolve
from ganvas.engine.drawn import Made
from ganvas.errors import ConfigError, GanvasWarning, RunError
from ganvas.latent.sheet import Sheet
from ganvas.tracking.lock import RunLock


@pytest.fixture
def run(vae_copy: Path) -> library.Run:
    return library.load_run(vae_copy)


def text_of(made: Made) -> dict[str, Any]:
    return dict(yaml.safe_load(made.path.with_suffix(".yaml").read_text()))


def pixels(path: Path | str) -> np.ndarray:
    return np.asarray(Image.open(path))


def written(folder: Path) -> set[str]:
    return {path.name for path in folder.rglob("*") if path.is_file()}


def again(command: str) -> Path:
    """The picture that a text's command makes."""
    program, *arguments = shlex.split(command)
    said = ganvas(*arguments)
    assert (program, said.code) == ("ganvas", 0), said.err
    return Path(said.out.splitlines()[-1])


def test_picture_and_text(run: library.Run) -> None:
    made = run.latent.interpolate(images=[0, 7], steps=3, seed=4)
    assert made.path.parent == run.path / "latent"
    assert made.path.name.startswith("interpolate-best-")
    np.testing.assert_array_equal(pixels(made.path), made.pixels)
    assert made._repr_png_() == made.path.read_bytes()
    assert written(made.path.parent) == {made.path.name, made.path.with_suffix(".yaml").name}
    text = text_of(made)
    checkpoint = run.path / "checkpoints" / "best.ckpt"
    sha256 = hashlib.sha256(checkpoint.read_bytes()).hexdigest()
    assert text["checkpoint"] == {"file": "best.ckpt", "step": 2, "sha256": sha256}
    assert text["seed"] == 4
    assert text["images"] == [0, 7]
    assert len(text["inputs"]) == 2
    assert text["tool"]["steps"] == 3
    assert text["values"] == dict(made.values)
    assert made.animation is None


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"images": [3, 1], "split": "train", "steps": 4},
        {"images": "random", "seed": 7, "path": "linear"},
        {"images": "random", "prior": "gaussian"},
        {"checkpoint": "last"},
    ],
)
def test_the_command_of_the_text_makes_the_same_picture(run: library.Run, given: Any) -> None:
    made = run.latent.interpolate(**given)
    before, text = made.path.read_bytes(), made.path.with_suffix(".yaml").read_bytes()
    made.path.unlink()
    assert again(text_of(made)["command"]) == made.path
    assert made.path.read_bytes() == before
    assert made.path.with_suffix(".yaml").read_bytes() == text


def test_files_are_known_by_their_content(run: library.Run, place: Path) -> None:
    file = place / "a [b] ü.png"
    Image.new("L", (9, 9), 200).save(file)
    first = run.latent.interpolate(images=[0, file.name])
    entry = text_of(first)["images"][1]
    assert entry == {"file": str(file), "sha256": hashlib.sha256(file.read_bytes()).hexdigest()}
    assert text_of(first)["folder"] == str(place)
    assert again(text_of(first)["command"]) == first.path
    Image.new("L", (9, 9), 100).save(file)
    assert run.latent.interpolate(images=[0, file.name]).path != first.path


def test_other_options_have_other_names(run: library.Run) -> None:
    options: list[dict[str, Any]] = [
        {},
        {"seed": 1},
        {"steps": 4},
        {"images": [0, 1]},
        {"images": [1, 0]},
        {"images": "random"},
        {"images": "random", "prior": "normal"},
        {"split": "train"},
        {"checkpoint": "last"},
        {"images": torch.zeros(2, 1, 8, 8)},
        {"images": torch.ones(2, 1, 8, 8)},
    ]
    paths = [run.latent.interpolate(**given).path for given in options]
    assert len(set(paths)) == len(options)
    assert run.latent.interpolate().path == paths[0]


def test_images_of_all_kinds_in_python(run: library.Run, place: Path) -> None:
    x = torch.rand(2, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    x = (x * 255).round() / 255
    opened = [Image.fromarray((255 * image[0]).round().byte().numpy()) for image in x]
    for i, image in enumerate(opened):
        image.save(place / f"{i}.png")
    found = [
        run.latent.interpolate(images=images).tensors["images"]
        for images in (x, list(x), x.numpy(), opened, ["0.png", Path("1.png")], place)
    ]
    for tensor in found[1:]:
        torch.testing.assert_close(tensor, found[0])
    with pytest.raises(RunError, match="at least 2 are needed, got 1"):
        run.latent.interpolate(images=opened[0])


def test_pixels_can_not_be_typed_again(run: library.Run) -> None:
    made = run.latent.interpolate(images=torch.zeros(2, 1, 8, 8))
    said = ganvas(*shlex.split(text_of(made)["command"])[1:])
    assert said.code == 2
    assert "images" in said.message


def test_tools_are_methods(run: library.Run) -> None:
    assert {"interpolate", "draw"} <= set(dir(run.latent))
    with pytest.raises(
        AttributeError, match="no such tool: interpolat; did you mean `interpolate`"
    ):
        _ = run.latent.interpolat
    with pytest.raises(ConfigError, match=r"`tool\.stps`: no such key; did you mean `steps`"):
        run.latent.interpolate(stps=3)
    with pytest.raises(ConfigError, match=r"tool\.steps: a value must be a number.*got object"):
        run.latent.interpolate(steps=object())
    assert not hasattr(run.latent, "_secret")


def test_out(run: library.Run, place: Path) -> None:
    made = run.latent.interpolate(out="new/folder/my picture.png")
    assert made.path == Path("new/folder/my picture.png")
    assert written(place / "new") == {"my picture.png", "my picture.yaml"}
    before = made.path.read_bytes()
    run.latent.interpolate(out=made.path, seed=3, images="random")
    assert made.path.read_bytes() != before
    (place / "model.yaml").write_text("mine: true\n")
    with pytest.raises(ConfigError, match=r"would replace model.yaml; choose another"):
        run.latent.interpolate(out="model.png")
    assert (place / "model.yaml").read_text() == "mine: true\n"
    (place / "film.gif").write_bytes(b"mine")
    with pytest.raises(ConfigError, match=r"would replace film.gif; choose another"):
        run.latent.interpolate(out="film.png")
    for _ in range(2):  # an animation of ours is replaced
        run.latent.interpolate(out="moving.png", gif=True, frames=2, steps=2)
    for bad, rule in (("a.jpg", "must be a file that ends in .png"), ("new", "ends in .png")):
        with pytest.raises(ConfigError, match=rule):
            run.latent.interpolate(out=bad)
    (place / "f.png").mkdir()
    with pytest.raises(ConfigError, match="is a folder; name a file in it"):
        run.latent.interpolate(out="f.png")


def test_nothing_half_written(
    run: library.Run, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (place / "file").write_text("")
    with pytest.raises(RunError, match=r"out=file/x.png: can't be written .*choose another"):
        run.latent.interpolate(out="file/x.png")
    from ganvas.engine import drawn

    def full(file: Path, content: bytes) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(drawn, "write_whole", full)
    with pytest.raises(RunError, match=r"can't be written \(No space left on device\)"):
        run.latent.interpolate(out="x.png")
    assert written(place) == {"file"}


def test_no_picture_without_its_text(
    run: library.Run, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ganvas.engine import drawn

    names: list[str] = []
    monkeypatch.setattr(drawn, "write_whole", lambda file, content: names.append(file.name))
    run.latent.interpolate(out="x.png", gif=True)
    assert names == ["x.yaml", "x.gif", "x.png"]


@pytest.mark.parametrize("name", ["a b", "ü日本", "[x]=(y),{z}", "$HOME ${x}", "it's"])
def test_folders_of_all_names(vae_copy: Path, place: Path, name: str) -> None:
    folder = shutil.copytree(vae_copy, place / name)
    made = library.load_run(folder).latent.interpolate()
    assert made.path.parent.parent == folder
    assert again(text_of(made)["command"]) == made.path
    assert ganvas("latent", name, "tool=interpolate").code == 0


def test_checkpoints_by_path(run: library.Run, place: Path) -> None:
    shutil.copy(run.path / "checkpoints" / "last.ckpt", place / "mine.ckpt")
    made = run.latent.interpolate(checkpoint="mine.ckpt")
    assert made.path.name.startswith("interpolate-mine-")
    assert text_of(made)["checkpoint"]["file"] == "mine.ckpt"
    np.testing.assert_array_equal(
        made.tensors["images"], run.latent.interpolate(checkpoint="last").tensors["images"]
    )


def test_a_run_in_use_can_be_drawn(run: library.Run) -> None:
    lock = RunLock(run.path)
    try:
        assert run.latent.interpolate().path.exists()
    finally:
        lock.release()


def test_weights_that_training_replaces_are_read_again(
    run: library.Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ganvas.engine import latent

    checkpoint, restore, calls = run.path / "checkpoints" / "best.ckpt", latent.restore, []

    def replaced_meanwhile(*given: Any) -> Any:
        found = restore(*given)
        if not calls:
            content = torch.load(checkpoint, weights_only=True)
            content["ganvas_counters"]["step"] = 99
            AtomicCheckpointIO().save_checkpoint(content, checkpoint)
        calls.append(given)
        return found

    monkeypatch.setattr(latent, "restore", replaced_meanwhile)
    made = run.latent.interpolate()
    assert len(calls) == 2
    sha256 = hashlib.sha256(checkpoint.read_bytes()).hexdigest()
    assert text_of(made)["checkpoint"] == {"file": "best.ckpt", "step": 99, "sha256": sha256}


def test_small_print_names_a_prior_that_is_not_the_models_own(
    run: library.Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    footers: list[str] = []
    nothing = np.zeros((4, 4, 3), np.uint8)
    monkeypatch.setattr(Sheet, "render", lambda _, lines: footers.append(lines[0]) or nothing)
    run.latent.interpolate(images="random", prior="gaussian")
    run.latent.interpolate(images="random")
    assert footers[0].endswith("seed 0 · codes of prior=gaussian")
    assert footers[1].endswith("seed 0")


def test_settings_without_effect_are_named(run: library.Run) -> None:
    with pytest.warns(GanvasWarning, match="prior: left aside, since no codes were drawn"):
        run.latent.interpolate(prior="gaussian", images=[0, 1])
    with pytest.warns(GanvasWarning, match="invert: left aside, since it is for given files"):
        run.latent.interpolate(invert=True)
    with pytest.raises(ConfigError, match="features: tool=interpolate looks at no features"):
        run.latent.interpolate(features="inception")


STRANGE = (
    "a b",
    "it's",
    'say "x"',
    "back\\",
    'q\\"x',
    "[a]",
    "a,b",
    "${seed}",
    "\\${x}",
    "",
    "1e3",
)


@pytest.mark.parametrize(
    "value",
    [*STRANGE, 1, -3, 1e-7, float("inf"), True, None, [1, [2, "a"]], {"a": {"b": "x y"}}, []],
)
def test_values_survive_the_command_line(value: Any) -> None:
    config = compose(["tool=interpolate", f"+tool.x={as_override(value)}"], name="latent").config
    config.run = "run"
    assert resolve(config)["tool"]["x"] == value
