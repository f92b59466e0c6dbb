"""What RUN may be: each record is found, and laid out as a run's folder with what it tells."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from engine.engine_helpers import ganvas
from ganvas.engine.check import check_overrides
from ganvas.engine.portable import without_folders
from ganvas.engine.runs import read_config
from ganvas.errors import GanvasError
from ganvas.proof.inputs import check_config
from ganvas.proof.original import find_originals
from ganvas.tracking import config_hash
from ganvas.tracking.files import read_run_json

STUDIES = Path(__file__).parents[2] / "experiments"
VAE = ("model=vae", "dataset=digits", "trainer=cpu", "trainer.max_steps=4", "logger=none")


def result(**fields: Any) -> dict[str, Any]:
    """Of a study, as it would be recorded now."""
    config = check_overrides([*VAE, "seed=3"]).config
    return {
        "command": f"ganvas train {' '.join(VAE)} seed=3", "steps": 4, "commit": "abc", "seed": 3,
        "test": {"test/elbo": -30.5}, "config_hash": config_hash(config),
        "dataset_fingerprint": "f", "choices": {"model": "vae"}, "hardware": None,
        "packages": {"torch": "2"}, **fields,
    }  # fmt: skip


def study(place: Path, **results: dict[str, Any]) -> Path:
    """A folder with results."""
    (place / "results").mkdir(parents=True)
    for name, content in results.items():
        (place / "results" / f"{name}.json").write_text(json.dumps(content))
    (place / "results" / "other.json").write_text('{"noise": [1]}')
    return place


def test_a_folder_and_a_zip_are_themselves(run: Path, exported: Path, elsewhere: Path) -> None:
    (own,) = find_originals(str(run))
    assert (own.kind, own.folder, own.lacks) == ("run", run, ())
    (zipped,) = find_originals(str(exported))
    assert (zipped.kind, zipped.lacks) == ("export", ())
    assert elsewhere in zipped.folder.parents
    assert read_run_json(zipped.folder)["metrics"] == read_run_json(run)["metrics"]


def test_each_result_of_a_study_is_a_record(tmp_path: Path, elsewhere: Path) -> None:
    place = study(tmp_path / "study", one=result(), two=result())
    found = find_originals(str(place))
    assert [(o.kind, Path(o.source).stem) for o in found] == [("study", "one"), ("study", "two")]
    first = find_originals(str(place / "results" / "one.json"))[0]
    assert first == found[0]
    assert not first.fault
    record = read_run_json(first.folder)
    assert config_hash(read_config(first.folder)) == record["config_hash"]
    assert record["metrics"] == {"test/elbo": {"final": {"value": -30.5, "step": 4}}}
    assert (record["seed"], record["git"]["sha"], record["name"]) == (3, "abc", "one")
    assert "weights" in first.lacks


def test_a_recorded_config_needs_no_command(tmp_path: Path, elsewhere: Path) -> None:
    config = without_folders(check_overrides([*VAE, "seed=3"]).config)
    told = result(config=config, command="ganvas train model=gone", weights={"last": {}})
    (found,) = find_originals(str(study(tmp_path / "study", one=told)))
    assert not found.fault
    assert read_config(found.folder)["paths"]["data_dir"] == str(elsewhere / "data")
    assert config_hash(read_config(found.folder)) == told["config_hash"]
    assert "weights" not in found.lacks


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"command": "ganvas train model=gone"}, "can't be composed any more"),
        ({"command": "python train.py"}, "can't be composed any more"),
        ({"command": "ganvas train -m seed=1,2"}, "can't be composed any more"),
        ({"test": {}, "good_share": 0.4}, "by the study's own script"),
    ],
)
def test_a_result_that_cannot_be_compared_says_why(
    tmp_path: Path, elsewhere: Path, change: dict[str, Any], fault: str
) -> None:
    place = study(tmp_path / "study", one=result(**change))
    (found,) = find_originals(str(place))
    assert fault in found.fault
    said = ganvas("reproduce", str(place))
    assert said.code == 5, said.err
    assert "not comparable" in said.out
    assert not list(elsewhere.rglob("trace.csv"))


def test_defaults_that_have_changed_since_are_a_condition_and_no_hindrance(
    tmp_path: Path, elsewhere: Path
) -> None:
    (found,) = find_originals(str(study(tmp_path / "study", one=result(config_hash="0" * 64))))
    assert (found.fault, found.recomposed) == ("", True)
    record, config = read_run_json(found.folder), read_config(found.folder)
    composed = check_config(record, config, recomposed=True)
    assert (composed.verdict, composed.decides, composed.explains) == ("differs", False, True)
    assert "defaults of ganvas have changed" in composed.note
    recorded = check_config(record, config)
    assert (recorded.verdict, recorded.decides) == ("differs", True)


def test_trust_that_a_command_names_is_not_heard(tmp_path: Path, elsewhere: Path) -> None:
    hostile = result(command="ganvas train model=vae trust=[os] model._target_=os.system")
    (found,) = find_originals(str(study(tmp_path / "study", one=hostile)))
    assert found.fault


def test_what_is_no_run_is_refused(tmp_path: Path, run: Path) -> None:
    (tmp_path / "text.txt").write_text("none")
    for target in (tmp_path, tmp_path / "text.txt", tmp_path / "none", run / "run.json"):
        with pytest.raises(GanvasError) as refused:
            find_originals(str(target))
        assert "\n" not in str(refused.value)


def test_future_results_tell_all_that_a_reproduction_asks(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(STUDIES)
    from study import told_of

    record = read_run_json(run)
    told = told_of(run, record)
    assert {"metrics", "weights", "config"} <= told.keys()
    assert config_hash(told["config"]) == record["config_hash"]
    assert str(Path.home()) not in yaml.safe_dump(told["config"])
