"""`prior=` of `ganvas sample` and `ganvas evaluate`: fitted, kept, used again, fitted anew."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from engine_helpers import Said, ganvas, only_run, train

import ganvas as library
from ganvas.data import ImageData
from ganvas.data.tensor_file import write_tensors
from ganvas.engine.checkpoint_files import AtomicCheckpointIO
from ganvas.errors import DataError, GanvasWarning, RunError
from ganvas.evaluation.result import Result, check_comparable
from ganvas.nn.noise import truncated
from ganvas.tracking.record import RunRecord

FITTED = "ganvas: prior=gmm-10: fitted to the codes of 1,350 training images"
SAMPLES = ("metrics=[samples]", "accelerator=cpu")


@pytest.fixture
def ae_copy(ae_run: Path, tmp_path: Path) -> Path:
    """An autoencoder's run of one's own, to write to."""
    return Path(shutil.copytree(ae_run, tmp_path / "copied" / "run"))


def sampled(run: Path, *options: str) -> Said:
    return ganvas("sample", str(run), "accelerator=cpu", "n=5", "format=npz", *options)


def images(said: Said) -> np.ndarray:
    assert said.code == 0, said.err
    return np.load(said.out.strip())["images"]


def test_samples_are_of_the_fitted_prior(ae_copy: Path) -> None:
    said = sampled(ae_copy, "prior=gmm", "seed=3")
    assert said.err.strip() == FITTED
    assert said.out.strip().endswith("/samples/drawn-best-n5-seed3-gmm-10.npz")
    run = library.load_run(ae_copy)
    codes = run.prior("gmm").codes(5, seed=3)
    expected = run.model.sample(5, noise=codes)
    assert torch.equal(expected, run.model.decode(codes))
    shown = (expected * 255).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()
    np.testing.assert_array_equal(images(said), shown)


def test_a_prior_is_kept_with_what_it_was_fitted_to(ae_copy: Path) -> None:
    assert sampled(ae_copy, "prior=gmm", "prior.components=3").code == 0
    file = ae_copy / "priors" / "gmm-3-best.safetensors"
    note = json.loads(file.with_suffix(".json").read_text())
    assert (note["num"], note["step"]) == (1350, 2)
    assert note["images"] == library.load_run(ae_copy).data().content("train")
    assert note["options"]["components"] == 3
    assert np.isfinite(note["log_likelihood"])
    before, kept = (
        file.stat().st_mtime_ns,
        images(sampled(ae_copy, "prior=gmm", "prior.components=3")),
    )
    again = sampled(ae_copy, "prior=gmm", "prior.components=3")
    assert again.err == ""
    np.testing.assert_array_equal(images(again), kept)
    assert file.stat().st_mtime_ns == before


def test_other_weights_or_images_have_it_fitted_anew(ae_copy: Path) -> None:
    first = sampled(ae_copy, "prior=gmm")
    former = images(first)
    for file in (ae_copy / "checkpoints").glob("*.ckpt"):
        saved = torch.load(file, weights_only=True)
        state = saved["state_dict"]
        saved["state_dict"] = {k: 2 * v if "encoder" in k else v for k, v in state.items()}
        AtomicCheckpointIO().save_checkpoint(saved, file)
    said = sampled(ae_copy, "prior=gmm")
    assert said.err.strip() == f"{FITTED} again, since the weights changed"
    assert (images(said) != former).any()
    config = yaml.safe_load((ae_copy / "config.yaml").read_text())
    config["dataset"]["max_train"] = 600
    (ae_copy / "config.yaml").write_text(yaml.safe_dump(config))
    said = sampled(ae_copy, "prior=gmm")
    assert said.err.strip() == (
        "ganvas: prior=gmm-10: fitted to the codes of 600 training images again, since the images "
        "changed"
    )


def test_another_recipe_has_it_fitted_anew(ae_copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sampled(ae_copy, "prior=gaussian")
    assert sampled(ae_copy, "prior=gaussian").err == ""
    monkeypatch.setattr("ganvas.engine.priors.RECIPE", 2)
    assert "again, since the way it is fitted changed" in sampled(ae_copy, "prior=gaussian").err


def test_a_damaged_file_is_made_again(ae_copy: Path) -> None:
    former = images(sampled(ae_copy, "prior=gmm"))
    file = ae_copy / "priors" / "gmm-10-best.safetensors"
    whole = file.read_bytes()
    file.write_bytes(whole[:-20])
    run = library.load_run(ae_copy)
    with pytest.warns(GanvasWarning, match=r"gmm-10-best.safetensors: damaged \(another hash"):
        run.prior("gmm")
    assert file.read_bytes() == whole
    file.with_suffix(".json").write_text("{")
    np.testing.assert_array_equal(images(sampled(ae_copy, "prior=gmm")), former)
    assert file.read_bytes() == whole
    note = json.loads(file.with_suffix(".json").read_text())
    write_tensors(file, {"means": torch.zeros(2)}, note)
    with pytest.warns(GanvasWarning, match=r"damaged \(no mixture of Gaussians\)"):
        run.prior("gmm")
    assert file.read_bytes() == whole


def test_without_the_images_only_the_weights_are_compared(
    ae_copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    former = library.load_run(ae_copy).prior("gaussian").codes(3, seed=0)

    def missing(self: ImageData, world_size: int = 1) -> None:
        raise DataError("no such folder")

    monkeypatch.setattr(ImageData, "prepare", missing)
    run = library.load_run(ae_copy)
    with pytest.warns(GanvasWarning, match=r"weights alone, .* can't be read: no such folder"):
        codes = run.prior("gaussian").codes(3, seed=0)
    assert torch.equal(codes, former)
    with pytest.raises(DataError, match="no such folder"):
        run.prior("gmm")


def test_a_run_that_trains_may_be_sampled(ae_copy: Path) -> None:
    record = RunRecord.open(ae_copy, resume=False)
    try:
        assert sampled(ae_copy, "prior=gaussian").code == 0
    finally:
        record.close()


def test_a_folder_that_can_not_be_written(ae_copy: Path) -> None:
    (ae_copy / "priors").write_text("a file")
    said = sampled(ae_copy, "prior=gaussian")
    assert said.code == 2
    assert said.message == (
        f"{ae_copy}/priors: the fitted prior can't be kept there (File exists); make the run's "
        "folder writable, or copy the run"
    )


def test_normal_codes_for_any_decoder(ae_run: Path, vae_run: Path, tmp_path: Path) -> None:
    view = library.load_run(ae_run).model
    codes = library.load_run(ae_run).prior("normal").codes(5, seed=1)
    for option, noise in (("null", codes), ("0.5", truncated(codes, 0.5))):
        out = tmp_path / f"{option}.npz"
        said = sampled(ae_run, "prior=normal", "seed=1", f"truncation={option}", f"out={out}")
        shown = (view.decode(noise) * 255).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()
        np.testing.assert_array_equal(images(said), shown)
    run = library.load_run(vae_run)
    assert torch.equal(run.prior("normal").codes(3, seed=2), run.model.prior_codes(3, seed=2))
    assert torch.equal(run.prior("model").codes(3, seed=2), run.model.prior_codes(3, seed=2))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("prior=gmn", "prior=gmn: no such prior; did you mean `gmm`?"),
        ("prior=gmm prior.components=0", "prior.components must be at least 1, got 0"),
        (
            "prior=gmm prior.components=2.5",
            "prior.components: should be a valid integer, got 2.5",
        ),
        (
            "prior=gmm prior.covariance=tied",
            "prior.covariance: should be 'full' or 'diag', got 'tied'",
        ),
        ("prior=gmm prior.seed=-1", "prior.seed must be at least 0, got -1"),
        (
            "prior=gmm prior.component=3",
            "`prior.component`: no such key; did you mean `components`?",
        ),
        (
            "prior=gmm prior.components=2000",
            "prior=gmm-2000 can't be fitted: there must be at least 2000 codes, got 1350",
        ),
        (
            "prior=gmm truncation=0.5",
            "truncation=0.5: cuts the prior N(0, I), and prior=gmm-10 has another one; leave "
            "truncation out",
        ),
        ("prior=gmm metrics=[losses]", "`metrics`: no such key"),
    ],
)
def test_refusals(ae_copy: Path, options: str, message: str) -> None:
    said = sampled(ae_copy, *options.split())
    assert said.code == 2
    assert said.message.startswith(message)
    assert list(ae_copy.rglob("*gmm*.safetensors")) == list(ae_copy.rglob("drawn*")) == []


def test_models_that_can_not_be_sampled_so(gan_run: Path, tmp_path: Path) -> None:
    said = sampled(gan_run, "prior=gmm")
    assert (said.code, said.message) == (
        2,
        "prior=gmm-10: GAN has no encoder, so that there are no codes to fit a prior to; take "
        "prior=model",
    )
    evaluated = ganvas("evaluate", str(gan_run), "prior=gmm", "accelerator=cpu")
    assert (evaluated.code, evaluated.message) == (2, said.message)
    assert train(f"paths.runs_dir={tmp_path}", "model=unpool_ae").code == 0
    for prior in ("normal", "gaussian"):
        said = sampled(only_run(tmp_path), f"prior={prior}")
        assert (said.code, said.message) == (
            2,
            f"prior={prior}: UnpoolAutoencoder makes no image of a code alone, so that no prior "
            "gives samples; choose another model",
        )
    with pytest.raises(RunError, match="GAN has no encoder"):
        library.load_run(gan_run).prior("gmm")


@pytest.mark.parametrize("model", ["pca", "conditional_vae", "ae_gan", "vq_vae"])
def test_other_models_with_codes(model: str, tmp_path: Path) -> None:
    assert train(f"paths.runs_dir={tmp_path}", f"model={model}").code == 0
    drawn = images(sampled(only_run(tmp_path), "prior=gmm", "prior.components=2"))
    assert drawn.shape == (5, 8, 8, 1)
    assert drawn.std() > 0


# Measuring


@pytest.fixture(scope="module")
def learnt(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An autoencoder that has learnt something; three measurements of it are in its record."""
    folder = tmp_path_factory.mktemp("learnt")
    said = train(f"paths.runs_dir={folder}", "model=ae", "trainer.max_steps=200")
    assert said.code == 0, said.err
    return only_run(folder)


def measured(run: Path, *options: str) -> list[dict[str, Any]]:
    said = ganvas("evaluate", str(run), *SAMPLES, *options)
    assert said.code == 0, said.err
    assert all("  (prior=" in line for line in said.out.splitlines())
    evaluations = library.load_run(run).record["evaluations"]
    return [e for e in evaluations if e["name"] == "fd_classifier"]


def test_a_plain_autoencoder_samples_badly_from_a_normal_prior(learnt: Path) -> None:
    for prior in ("normal", "gaussian", "gmm"):
        found = measured(learnt, f"prior={prior}")
    assert [e["provenance"]["prior"] for e in found] == ["normal", "gaussian", "gmm-10"]
    check_comparable([Result(**e) for e in found])  # the prior is no part of the protocol
    normal, gaussian, gmm = (e["value"] for e in found)
    assert normal > 3 * gaussian
    assert gaussian > 1.2 * gmm


def test_the_value_is_a_function_of_the_run(learnt: Path) -> None:
    first = measured(learnt, "prior=gmm")[-1]["value"]
    assert measured(learnt, "prior=gmm", "batch_size=7")[-1]["value"] == pytest.approx(first)
    assert measured(learnt, "prior=gmm", "seed=1")[-1]["value"] != pytest.approx(first, rel=1e-3)
    shutil.rmtree(learnt / "priors")
    assert measured(learnt, "prior=gmm")[-1]["value"] == first


def test_what_is_told_of_a_model_without_a_prior(ae_copy: Path) -> None:
    said = ganvas("evaluate", str(ae_copy), "accelerator=cpu")
    assert (
        "(left out: samples, kernel, score, precision_recall, memorization: model=ae draws no "
        "samples (prior=gmm gives it some))"
    ) in said.out.splitlines()
    said = ganvas("evaluate", str(ae_copy), "metrics=[losses]", "prior=gmm", "accelerator=cpu")
    assert (said.code, said.message) == (
        2,
        "prior=gmm-10: nothing in metrics=losses looks at samples; leave prior out, or add samples",
    )
    assert not (ae_copy / "priors").exists()
    measures = "metrics=[losses,samples]"
    said = ganvas("evaluate", str(ae_copy), measures, "prior=gaussian", "accelerator=cpu")
    shown = [line.split()[0] for line in said.out.splitlines() if "  (prior=gaussian)" in line]
    assert shown == ["test/fd_classifier", "test/classes_hit", "test/class_entropy"]
    recorded = library.load_run(ae_copy).record["evaluations"]
    assert all("prior" not in e["provenance"] for e in recorded if e["name"].endswith("mse"))
