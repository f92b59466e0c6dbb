"""Pictures that can't be drawn: one clear line, exit code 2, nothing written."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
import yaml
from engine_helpers import ganvas

from ganvas.engine.checkpoint_files import AtomicCheckpointIO
from ganvas.engine.compose import options


def contents(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


REFUSED = {
    "tool=interpolat": "tool=interpolat: no such tool; did you mean `interpolate`?",
    "tool=[interpolate,walk]": "tool=[interpolate,walk]: takes one tool, not a list",
    "tool=interpolate,walk": "tool=interpolate,walk: takes one value, not several",
    "tool=null": "tool=null: not the name of a tool; there are: ",
    "tool.stps=3": "`tool.stps`: no such key; did you mean `steps`?",
    "tool.steps=1": "tool.steps must be from 2 to 100, got 1",
    "tool.steps=null": "tool.steps: should be a valid integer, got None",
    "tool.steps=many": "tool.steps: should be a valid integer, got 'many'",
    "tool.path=round": "tool.path: should be 'linear', 'spherical' or 'both', got 'round'",
    "tool._target_=nowhere.Thing": "tool._target_: `nowhere.Thing` is of no trusted module",
    "steps=3": "`steps`: no such key; did you mean `tool.steps`?",
    "images=[-1]": "images: positions in split=test go from 0 to 296, got -1",
    "images=[0,297]": "images: positions in split=test go from 0 to 296, got 297",
    "images=[0]": "images: at least 2 are needed, got 1; name more, e.g. images=[0,1]",
    "images=[1.5]": "images: must be a list of positions in the split, files and folders",
    "images=[true]": "images: must be a list of positions in the split, files and folders",
    "images=[[0,1]]": "images: must be a list of positions in the split, files and folders",
    "images={a:1}": "images: must be a list of positions in the split, files and folders",
    "images=[]": "images: must name at least one image, got []",
    "images=": "images: must be positions in the split, files, folders",
    "images=0,1": "images=0,1: takes one value, not several; a list is written images=[0,1]",
    "images=nowhere.png": "images: no such file or folder, got 'nowhere.png'; name files",
    "images=[0,bad.png]": "bad.png: not a readable image",
    "images=empty": "images: empty holds no image (.png",
    "split=vall": "split: should be 'train', 'val' or 'test', got 'vall'",
    "y=3": "VAE is not conditional: leave out y",
    "y=-1": "y: must be a class (0, 1, …), a list of classes, or null, got -1",
    "y=[]": "y: must be a class (0, 1, …), a list of classes, or null, got []",
    "y=one": "y: must be a class (0, 1, …), a list of classes, or null, got 'one'",
    "seed=-1": "seed: should be greater than or equal to 0, got -1",
    "seed=x": "seed: should be a valid integer, got 'x'",
    "checkpoint=nope": "checkpoint=nope: no file nope; the run wrote best.ckpt, last.ckpt",
    "checkpoint=bad.png": "bad.png is damaged or truncated",
    "prior=gm": "prior=gm: no such prior; did you mean `gmm`?",
    "features=inceptio": "features=inceptio: no such features; did you mean `inception`?",
    "features=inception": "features: tool=interpolate looks at no features; leave features out",
    "invert=perhaps": "invert: should be a valid boolean, got 'perhaps'",
    "log=perhaps": "log: should be a valid boolean, got 'perhaps'",
    "log=true": "log=true: the run has logger=none, which shows nothing; leave log out",
    "out=x.jpg": "out: must be a file that ends in .png, got 'x.jpg'",
    "out=folder.png": "out: folder.png is a folder; name a file in it",
    "out=own.png": "out: the text beside the picture would replace own.yaml; choose another",
    "out=bad.png/x.png": "out=bad.png/x.png: can't be written",
    "accelerator=tpu": "accelerator: should be 'auto', 'cpu' or 'gpu', got 'tpu'",
    "accelerator=gpu": "accelerator=gpu: no CUDA device was found; use accelerator=cpu",
    "outt=x.png": "`outt`: no such key; did you mean `out`?",
    "run=other": "run=other: the run is named already",
    "--config-dir=nowhere": "--config-dir: no such folder, got 'nowhere'",
    "-m": "`-m`: no such flag; there is --config-dir FOLDER",
}


@pytest.mark.parametrize("typed", REFUSED)
def test_one_line_and_nothing_written(typed: str, vae_run: Path, place: Path, no_gpu: None) -> None:
    (place / "bad.png").write_text("no image")
    (place / "own.yaml").write_text("mine: true\n")
    (place / "empty").mkdir()
    (place / "folder.png").mkdir()
    before = contents(place), contents(vae_run)
    chosen = [] if typed.startswith("tool=") else ["tool=interpolate"]
    said = ganvas("latent", str(vae_run), *chosen, typed)
    assert said.code == 2, said.out + said.err
    assert said.message.startswith(REFUSED[typed]), said.message
    assert "\n" not in said.message
    assert said.out == ""
    assert (contents(place), contents(vae_run)) == before


def test_one_line_where_several_types_would_do(vae_run: Path, place: Path) -> None:
    said = ganvas("latent", str(vae_run), "tool=anomaly", "tool.odd=one")
    assert said.code == 2
    assert said.message == "tool.odd: should be a valid integer, got 'one'"


def test_what_is_missing(vae_run: Path, place: Path) -> None:
    for arguments in ((), ("tool=interpolate",)):
        said = ganvas("latent", *arguments)
        assert said.code == 2
        assert said.message == "latent needs a run's folder: ganvas latent RUN [key=value …]"
    said = ganvas("latent", str(vae_run))
    assert said.code == 2
    assert said.message == f"tool: a choice is required; there are: {', '.join(options('tool'))}"
    said = ganvas("latent", "nowhere", "tool=interpolate")
    assert said.code == 2
    assert "nowhere is no run folder: it has no run.json" in said.message


def test_models_and_images_that_do_not_fit(gan_run: Path, ae_run: Path, place: Path) -> None:
    said = ganvas("latent", str(gan_run), "tool=interpolate", "images=[0,1]")
    assert (said.code, "GAN has no encoder" in said.message) == (2, True)
    said = ganvas("latent", str(ae_run), "tool=interpolate", "images=random")
    assert (said.code, "draws no samples; take prior=gmm" in said.message) == (2, True)


@pytest.mark.parametrize("name", ["config.yaml", "run.json", "checkpoints/best.ckpt"])
@pytest.mark.parametrize("content", [None, b"", b"{", b"[1, 2]"])
def test_damaged_runs(vae_copy: Path, place: Path, name: str, content: bytes | None) -> None:
    if content is None:
        (vae_copy / name).unlink()
    else:
        (vae_copy / name).write_bytes(content)
    before = contents(vae_copy)
    said = ganvas("latent", str(vae_copy), "tool=interpolate")
    if (name, content) == ("checkpoints/best.ckpt", None):  # then the last one is the best
        assert said.code == 0
        return
    assert said.code == 2
    assert Path(name).name in said.message
    assert contents(vae_copy) == before


def test_diverged_weights(vae_copy: Path, place: Path) -> None:
    file = vae_copy / "checkpoints" / "best.ckpt"
    content = torch.load(file, weights_only=True)
    for tensor in content["state_dict"].values():
        if tensor.is_floating_point() and tensor.numel():
            tensor.view(-1)[0] = float("nan")
    AtomicCheckpointIO().save_checkpoint(content, file)
    said = ganvas("latent", str(vae_copy), "tool=interpolate")
    assert said.code == 2
    assert "its weights have diverged, choose an earlier checkpoint" in said.message
    assert not (vae_copy / "latent").exists()


def test_data_that_are_gone(gan_run: Path, vae_run: Path, tmp_path: Path, place: Path) -> None:
    """Only tools that look at images need them."""
    runs = {
        name: shutil.copytree(run, tmp_path / name)
        for name, run in (("gan", gan_run), ("vae", vae_run))
    }
    for run in runs.values():
        config = yaml.safe_load((run / "config.yaml").read_text())
        source = {"_target_": "ganvas.data.sources.ImageFolder", "root": "nowhere"}
        config["dataset"]["source"] = {**source, "image_size": 8, "channels": 1}
        (run / "config.yaml").write_text(yaml.safe_dump(config))
    drawn = ganvas("latent", str(runs["gan"]), "tool=interpolate")
    assert drawn.code == 0, drawn.err
    said = ganvas("latent", str(runs["vae"]), "tool=interpolate")
    assert said.code == 2
    assert "nowhere: no such folder" in said.message
    assert not (runs["vae"] / "latent").exists()


def test_full_error_shows_the_traceback(vae_run: Path, place: Path) -> None:
    said = ganvas("latent", str(vae_run), "tool=interpolate", "images=[-1]", "full_error=true")
    assert said.code == 2
    assert "Traceback (most recent call last)" in said.err
    assert said.err.splitlines()[-1].startswith("ganvas: images: positions in split=test")


def test_help_and_list() -> None:
    help_text = ganvas("--help").out
    assert "ganvas latent RUN tool=NAME" in help_text
    assert ganvas("latent", "--help").out == help_text
    listed = ganvas("list", "tools").out.splitlines()
    assert [line.split()[0] for line in listed] == options("tool")
    assert all(len(line.split()) > 3 for line in listed)
