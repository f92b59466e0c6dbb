"""Files that run code when they are unpickled, in every place that a file is read from."""

from __future__ import annotations

import io
import pickle
import shutil
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from engine_helpers import TINY, ganvas
from payloads import FORMS, Canary, harms, new_torch, object_array, object_arrays, scripted

import ganvas as library
from ganvas.data.sources import Arrays
from ganvas.data.sources.dsprites import DSprites
from ganvas.data.tensor_file import read_tensors
from ganvas.engine.checkpoint_files import (
    AtomicCheckpointIO,
    newest_checkpoint,
    read_checkpoint,
    weights_hashes,
)
from ganvas.errors import CheckpointError, DataError, GanvasError

HARMS = ("os.system", "subprocess", "exec", "eval", "mknod")


def poisoned(content: dict[str, Any], harm: Any) -> list[dict[str, Any]]:
    """A checkpoint with a payload at its top, among its weights, and deep in a list."""
    state = content["state_dict"]
    return [
        content | {"hparams": harm},
        content | {"state_dict": state | {"more": harm}},
        content | {"optimizer_states": [{"state": [(0, [harm])]}]},
    ]


@pytest.mark.parametrize("harm", HARMS)
@pytest.mark.parametrize("form", FORMS)
def test_no_form_of_checkpoint_runs_code(
    form: str, harm: str, canary: Canary, tmp_path: Path
) -> None:
    payload = harms(canary.path)[harm]
    file = tmp_path / "last.ckpt"
    for content in poisoned({"state_dict": {"w": torch.ones(1)}}, payload):
        file.write_bytes(FORMS[form](content))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with pytest.raises(CheckpointError) as refusal:
                read_checkpoint(file)
            with pytest.raises(CheckpointError):
                AtomicCheckpointIO().load_checkpoint(file)
        assert "\n" not in str(refusal.value)
        assert not canary.hatched()


@pytest.mark.parametrize("harm", HARMS)
def test_the_payloads_are_live(harm: str, canary: Canary) -> None:
    """Two-sided: each would have run."""
    content = {"state_dict": {"w": harms(canary.path)[harm]}}
    pickle.loads(pickle.dumps(content))
    assert canary.hatched()
    for form in ("new torch", "old torch", "poisoned zip"):
        torch.load(io.BytesIO(FORMS[form](content)), weights_only=False)
        assert canary.hatched(), form
    np.load(io.BytesIO(object_array(harms(canary.path)[harm])), allow_pickle=True)
    assert canary.hatched()


def test_an_archive_of_torchscript_is_no_checkpoint(tmp_path: Path) -> None:
    file = tmp_path / "last.ckpt"
    file.write_bytes(scripted())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(CheckpointError) as refusal:
            read_checkpoint(file)
    assert "\n" not in str(refusal.value)


def commands(run: Path) -> list[list[str]]:
    """All that reads a run's checkpoints."""
    file = run / "checkpoints" / "last.ckpt"
    return [
        ["evaluate", str(run), "accelerator=cpu"],
        ["sample", str(run), "accelerator=cpu"],
        ["sample", str(run), "accelerator=cpu", "checkpoint=last"],
        ["sample", str(run), "accelerator=cpu", f"checkpoint={file}"],
        ["latent", str(run), "accelerator=cpu", "tool=manifold"],
        ["train", f"resume={run}", "trainer.max_steps=3"],
        ["train", *TINY, "model=vae", f"init_from={run}"],
        ["train", *TINY, "model=vae", f"init_from={run}", f"checkpoint={file}", "check=true"],
    ]


def test_no_command_runs_what_a_checkpoint_holds(
    vae_copy: Path, canary: Canary, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(vae_copy.parent)
    folder = vae_copy / "checkpoints"
    content = torch.load(folder / "last.ckpt", weights_only=True)
    harm = harms(canary.path)["exec"]
    for name in ("last", "best", "previous"):
        (folder / f"{name}.ckpt").unlink(missing_ok=True)
        (folder / f"{name}.ckpt").write_bytes(new_torch(content | {"hparams": harm}))
    for command in commands(vae_copy):
        said = ganvas(*command)
        assert said.code == 2 and not canary.hatched(), (command, said.err)
        assert "holds more than tensors and plain values" in said.message, said.err
        assert len(said.message.splitlines()) == 1
    for call in (library.load_run(vae_copy).load_model, lambda: newest_checkpoint(vae_copy)):
        with pytest.raises(CheckpointError):
            call()
    assert weights_hashes(vae_copy) == {}  # of a run's own files, at its end
    assert not canary.hatched()


def test_no_file_of_tensors_is_unpickled(canary: Canary, tmp_path: Path) -> None:
    """Priors, reference statistics, classifiers: safetensors, which hold no code at all."""
    import hashlib
    import json

    for form, make in FORMS.items():
        file, content = tmp_path / "kept.safetensors", make(harms(canary.path)["mknod"])
        file.write_bytes(content)
        note = {"sha256": hashlib.sha256(content).hexdigest()}
        file.with_suffix(".json").write_text(json.dumps(note))
        with pytest.warns(match="damaged"):
            assert read_tensors(file) is None, form
    assert not canary.hatched()


def test_no_data_set_is_unpickled(canary: Canary, tmp_path: Path) -> None:
    harm = harms(canary.path)["mknod"]
    for name, make in (("x.npy", object_array), ("x.npz", object_arrays), ("y.npz", new_torch)):
        file = tmp_path / name
        file.write_bytes(make(harm))
        with pytest.raises(DataError) as refusal:
            source = Arrays(file, image_size=8)
            source.image_shape  # noqa: B018
            source.read("train")
        assert "\n" not in str(refusal.value)
    (tmp_path / "dsprites").mkdir()
    for file in (tmp_path / "dsprites" / "d.npz", tmp_path / "d.npz"):
        file.write_bytes(object_arrays(harm))
    name = "dsprites_ndarray_co1sh3sc6or40x32y32_64x64.npz"
    shutil.copy(tmp_path / "d.npz", tmp_path / name)
    with pytest.raises(DataError):
        DSprites(tmp_path).read("train")
    assert not canary.hatched()


def test_no_batch_of_cifar_is_unpickled_unless_it_is_the_published_one(
    canary: Canary, tmp_path: Path
) -> None:
    from ganvas.data.sources import cifar10

    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    names = [*(f"data_batch_{n}" for n in range(1, 6)), "test_batch", "batches.meta"]
    for name in names:
        (folder / name).write_bytes(pickle.dumps(harms(canary.path)["mknod"]))
    with pytest.raises(GanvasError) as refusal:
        cifar10(tmp_path, download=False).read("train")
    assert "\n" not in str(refusal.value)
    assert not canary.hatched()


def test_no_weights_of_feature_networks_are_unpickled(
    canary: Canary, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their hash is the publisher's; were it not looked at, they would still be tensors alone."""
    from ganvas.engine import features
    from ganvas.metrics.perceptual import LPIPS

    file = tmp_path / "weights.pth"
    file.write_bytes(new_torch({"features.0.weight": harms(canary.path)["mknod"]}))
    monkeypatch.setattr(features, "weights_file", lambda *_, **__: file)
    with pytest.raises(DataError, match="holds no weights of the Inception network"):
        features.inception_weights(str(tmp_path))
    with pytest.raises(pickle.UnpicklingError):
        LPIPS(file)
    assert not canary.hatched()
