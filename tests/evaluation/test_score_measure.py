"""The Inception-score analogue of a model: by hand, named after the network, refused elsewhere."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from evaluation.subjects import classifier, image_data, subject
from ganvas.engine.measures import fault_of
from ganvas.errors import UnfitError
from ganvas.evaluation.measure import named
from ganvas.evaluation.priors import OwnPrior
from ganvas.evaluation.score import ScoreMeasure
from ganvas.evaluation.subject import Options, Subject
from ganvas.models.autoencoder.ae import Autoencoder
from ganvas.nn.extractor import Extractor, quantized
from ganvas.nn.frozen import Frozen
from ganvas.nn.pixels import Pixels
from models.tiny import gan, vae


@pytest.mark.parametrize("splits", [1, 4])
def test_values_by_hand(splits: int) -> None:
    model, network = vae(), classifier()
    found = ScoreMeasure(splits=splits).measure(subject(model, batch_size=9))
    loader = image_data().loader("test", value_range=(0.0, 1.0), seed=0)
    real = torch.cat([batch.x for batch in loader])
    for name, images in (("score", model.sample(40, seed=0)), ("real_score", real)):
        with torch.no_grad():
            p = network(quantized(images, (0, 1)).float() / 255).double().softmax(1)
        scores = [
            (part * (part / part.mean(0)).log()).sum(1).mean().exp() for part in p.chunk(splits)
        ]
        one = found[f"{name}_classifier"]
        assert one.value == pytest.approx(torch.stack(scores).mean().item(), rel=1e-6)
        assert one.uncertainty is not None
        assert one.protocol["splits"] == splits
    assert {*found} == {"score_classifier", "real_score_classifier"}


def test_it_has_its_usual_name_for_inception_alone() -> None:
    (template,) = ScoreMeasure.directions
    assert named(template, "inception") == "inception_score"
    assert named(template, "classifier") == "score_classifier"


@pytest.mark.parametrize("network", [Pixels(), nn.Flatten()])
def test_features_without_classes_are_refused(network: nn.Module) -> None:
    extractor = Extractor(Frozen(network))
    one = Subject(gan().eval(), image_data(), split="test", options=Options(), extractor=extractor)
    with pytest.raises(UnfitError, match=f"features={extractor.name} know no classes; choose"):
        ScoreMeasure(splits=1).measure(one)


def test_refusals() -> None:
    with pytest.raises(ValueError, match="splits must be at least 1, got 0"):
        ScoreMeasure(splits=0)
    with pytest.raises(ValueError, match="got splits=10 and 12 images; give more images"):
        ScoreMeasure(splits=10).measure(subject(gan(), num=12))
    reason = fault_of(ScoreMeasure(splits=1), Autoencoder, image_data(), prior=OwnPrior())
    assert reason == "draws no samples"
