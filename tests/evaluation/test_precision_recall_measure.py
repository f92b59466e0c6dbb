"""Precision, recall, density and coverage of a model: by hand, cached, independent of batches."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from evaluation.subjects import classifier, image_data, subject
from ganvas.engine.measures import fault_of
from ganvas.evaluation import precision_recall as module
from ganvas.evaluation.precision_recall import PrecisionRecallMeasure
from ganvas.evaluation.priors import OwnPrior
from ganvas.evaluation.subject import Subject
from ganvas.metrics.precision_recall import PrecisionRecall
from ganvas.models.autoencoder.ae import Autoencoder
from ganvas.nn.extractor import quantized
from models.tiny import gan, vae

NAMES = {f"{name}_classifier" for name in ("precision", "recall", "density", "coverage")}


def found(subject: Subject, *, k: int = 3) -> dict[str, float]:
    return {name: one.value for name, one in PrecisionRecallMeasure(k=k).measure(subject).items()}


def real(num: int) -> Tensor:
    loader = image_data().loader("test", value_range=(0.0, 1.0), seed=0)
    return torch.cat([batch.x for batch in loader])[:num]


@pytest.mark.parametrize("options", [{}, {"num": 17}, {"seed": 3, "batch_size": 7}])
def test_values_by_the_metric(options: dict[str, Any]) -> None:
    model = vae()
    num, seed = options.get("num", 40), options.get("seed", 0)
    images = [quantized(real(num), (0, 1)), quantized(model.sample(num, seed=seed), (0, 1))]
    metric = PrecisionRecall(k=3)
    with torch.no_grad():
        for part, is_real in zip(images, (True, False), strict=True):
            metric.update(classifier().features(part.float() / 255), real=is_real)
    values = found(subject(model, **options))
    expected = {f"{name}_classifier": float(v) for name, v in metric.compute().items()}
    assert values == pytest.approx(expected)
    assert values.keys() == NAMES == {n.format(features="classifier") for n in directions()}


def directions() -> dict[str, bool]:
    found = dict(PrecisionRecallMeasure.directions)
    assert all(found.values())
    return found


def test_real_images_against_themselves() -> None:
    one = subject(gan())
    one.sample_features = one.reference().features
    values = PrecisionRecallMeasure(k=3).measure(one)
    assert [values[f"{name}_classifier"].value for name in ("precision", "recall", "coverage")] == [
        1, 1, 1,
    ]  # fmt: skip
    assert values["density_classifier"].value >= 4 / 3
    assert values["precision_classifier"].uncertainty == 0
    assert values["density_classifier"].uncertainty is not None
    assert values["recall_classifier"].uncertainty is None
    assert values["coverage_classifier"].uncertainty is None


def test_radii_of_real_images_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = found(subject(gan(), cache_dir=tmp_path))
    (file,) = tmp_path.rglob("radii-3.safetensors")

    def never(*args: Any, **kwargs: Any) -> Tensor:
        raise AssertionError("radii were computed again")

    monkeypatch.setattr(module, "radii", never)
    assert found(subject(gan(), cache_dir=tmp_path)) == expected
    for other in ({"k": 2}, {"k": 3, "num": 20}):
        k = other.pop("k")
        with pytest.raises(AssertionError, match="again"):
            found(subject(gan(), cache_dir=tmp_path, **other), k=k)
    assert file.exists()


def test_k_is_part_of_the_protocol() -> None:
    for k in (1, 4):
        for one in PrecisionRecallMeasure(k=k).measure(subject(gan(), num=9)).values():
            assert one.protocol["k"] == k
            assert one.protocol["num"] == 9


def test_refusals() -> None:
    with pytest.raises(ValueError, match="k must be at least 1, got 0"):
        PrecisionRecallMeasure(k=0)
    with pytest.raises(ValueError, match=r"need .* at least 6 images, got 5; give more images"):
        found(subject(gan(), num=5), k=5)
    reason = fault_of(PrecisionRecallMeasure(k=5), Autoencoder, image_data(), prior=OwnPrior())
    assert reason == "draws no samples"
