"""`ganvas evaluate`: results appended with their identity; measures that do not fit; refusals."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from engine_helpers import TINY, ganvas, only_run, train

import ganvas as library
from ganvas.errors import ProtocolError

SMALL = ("metrics=[losses,samples]", "num=60")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> library.Run:
    folder = tmp_path_factory.mktemp("vae")
    return library.train([*TINY, "model=vae", "test=true", f"paths.runs_dir={folder}"])


def by_name(results: list[Any]) -> dict[str, Any]:
    return {result.name: result for result in results}


def test_results_are_appended_with_their_identity(run: library.Run) -> None:
    before = run.record.get("evaluations", [])
    results = library.evaluate(run, SMALL)
    recorded = run.record["evaluations"]
    assert recorded[: len(before)] == before
    assert recorded[len(before) :] == [result.as_dict() for result in results]
    found = by_name(results)
    assert {"elbo", "rate", "fd_classifier", "classes_hit"} <= set(found)
    ways = {name: found[name].higher_is_better for name in ("elbo", "rate", "fd_classifier")}
    assert ways == {"elbo": True, "rate": None, "fd_classifier": False}
    one = found["fd_classifier"]
    assert (one.split, one.checkpoint) == ("test", "best.ckpt")
    assert {"extractor", "weights", "num", "images", "reference_images", "quantizer"} <= set(
        one.protocol
    )
    assert one.provenance["run_seed"] == 0
    assert "images" in found["elbo"].protocol
    assert "extractor" not in found["elbo"].protocol


def test_a_second_time_is_the_same(run: library.Run) -> None:
    first, second = (library.evaluate(run, [*SMALL, *more]) for more in ((), ("batch_size=7",)))
    for a, b in zip(first, second, strict=True):
        assert a.protocol == b.protocol
        assert a.value == pytest.approx(b.value, rel=1e-5)
    assert by_name(first)["fd_classifier"].minus(by_name(second)["fd_classifier"])[0] < 1e-3


def test_other_options_do_not_compare(run: library.Run) -> None:
    one = by_name(library.evaluate(run, SMALL))["fd_classifier"]
    for option, field in (
        ("num=50", "num (60 and 50)"),
        ("seed=1", "seed (0 and 1)"),
        ("split=val", "split (test and val)"),
        ("reference=train", "reference (test and train)"),
        ("ema=false", "ema (True and False)"),
        ("layer=relu2", "layer (None and relu2)"),
        ("quantize=false", "quantizer (uint8, rounded and none)"),
        ("features=pixels", "name (fd_classifier and fd_pixels)"),
    ):
        other = library.evaluate(run, [*SMALL, option])
        distance = next(r for r in other if r.name.startswith("fd_"))
        with pytest.raises(ProtocolError) as raised:
            one.minus(distance)
        assert field in str(raised.value)


def test_on_the_command_line(run: library.Run) -> None:
    said = ganvas("evaluate", str(run.path), *SMALL)
    assert said.code == 0
    lines = dict(line.split()[:2] for line in said.out.splitlines())
    record = json.loads((run.path / "run.json").read_text())
    last = {f"{r['split']}/{r['name']}": r["value"] for r in record["evaluations"]}
    assert set(lines) == {f"test/{r.name}" for r in library.evaluate(run, SMALL)}
    for name, shown in lines.items():
        assert float(shown) == pytest.approx(last[name], rel=1e-5)


def test_measures_that_do_not_fit(place: Path) -> None:
    """Left out with the reason, unless they were asked for."""
    assert train("model=ae").code == 0
    folder = str(only_run(place))
    said = ganvas("evaluate", folder)
    assert said.code == 0
    left_out = "(left out: samples, kernel, score, precision_recall, memorization: model=ae draws"
    assert left_out in said.out
    said = ganvas("evaluate", folder, "metrics=samples")
    assert said.code == 2
    assert said.message.startswith("metrics=samples: model=ae draws no samples")


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("num=1", "num: should be greater than or equal to 2, got 1"),
        ("split=all", "split: should be 'train', 'val' or 'test', got 'all'"),
        ("batch_size=257", "batch_size: should be less than or equal to 256, got 257"),
        ("batch_size=0", "batch_size: should be greater than or equal to 1, got 0"),
        ("seed=-1", "seed: should be greater than or equal to 0, got -1"),
        ("metrics=[samples,kernels]", "metrics=kernels: no such metrics"),
        ("metrics=none", "metrics: nothing to measure; name at least one measure"),
        ("features=vgg", "features=vgg: no such features"),
        ("checkpoint=nowhere.ckpt", "checkpoint=nowhere.ckpt: no file nowhere.ckpt"),
        ("numm=3", "`numm`: no such key; did you mean `num`?"),
        ("layer=relu9", "evaluation.layer=relu9: layers must name layers of ConvClassifier"),
        ("+features._target_=os.system", "features._target_: `os.system` may not be used"),
        ("+features={_target_: torch.nn.Flatten, begin: 1}", "`features.begin`: no such key"),
    ],
)
def test_refusals(run: library.Run, override: str, message: str) -> None:
    before = (run.path / "run.json").read_bytes()
    said = ganvas("evaluate", str(run.path), override)
    assert said.code == 2
    assert said.message.startswith(message)
    assert len(said.message.splitlines()) == 1
    assert (run.path / "run.json").read_bytes() == before
