"""Run folders are read whole, once, and in any state."""

from __future__ import annotations

import math
import shutil
from pathlib import Path

from made_runs import config_of, evaluate, make_grid, make_run, write_sweep

from ganvas.report.collect import read_runs
from ganvas.report.flat import same, telling_keys, varying_keys
from ganvas.tracking import RunRecord
from ganvas.tracking.files import write_yaml


def test_a_run_as_its_record_has_it(tmp_path: Path) -> None:
    folder = make_run(
        tmp_path, beta=4, seed=2, values={"test/elbo": (-3.0, -4.0), "test/rate": 0.5}
    )
    collection = read_runs([tmp_path])
    (run,) = collection.runs
    assert collection.problems == ()
    assert (run.path, run.id, run.seed, run.status) == (folder, folder.name, 2, "finished")
    assert run.place == f"vae_digits/{folder.name}"
    assert run.config["model"] == "vae"  # the choice, beside the group's own keys
    assert run.config["loss.beta"] == 4
    assert run.deciding["loss.beta"] == 4
    assert not {"seed", "name", "paths.runs_dir"} & run.deciding.keys()
    assert (run.seconds, run.peak_mib) == (10.0, {"process": 600.0})
    elbo = run.values["test/elbo"]
    assert (elbo.best, elbo.final, elbo.step, elbo.higher) == (-3.0, -4.0, 10, True)
    rate = run.values["test/rate"]
    assert (rate.best, rate.final, rate.step, rate.higher) == (None, 0.5, 20, None)
    assert run.facts["dataset_fingerprint"] == "9bea64f9"
    assert run.facts["command"] == "ganvas train"


def test_a_run_found_by_several_paths_counts_once(tmp_path: Path) -> None:
    folders = make_grid(tmp_path / "runs", seeds=1)
    given = [tmp_path / "runs", tmp_path, folders[0], folders[0] / "run.json"]
    found = read_runs(given)
    assert sorted(run.path for run in found.runs) == sorted(folders)
    link = tmp_path / "link"
    link.symlink_to(folders[0])
    assert [run.path for run in read_runs([folders[0], link]).runs] == [folders[0]]


def test_labels_have_the_keys_that_were_typed_and_differ(tmp_path: Path) -> None:
    make_grid(tmp_path, seeds=2)
    labels = [run.label for run in read_runs([tmp_path]).runs]
    assert "model=conv_vae loss.beta=4 seed=1" in labels
    assert len(set(labels)) == len(labels) == 8


def test_copies_of_a_folder_have_ids_of_their_own(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "a")
    shutil.copytree(folder, tmp_path / "b" / folder.name)
    runs = read_runs([tmp_path]).runs
    assert len({run.id for run in runs}) == 2
    assert len({run.group for run in runs}) == 1


def test_groups_are_the_config_less_the_seed_and_what_computes_nothing(tmp_path: Path) -> None:
    first = make_run(tmp_path, seed=0)
    others = [
        make_run(tmp_path, seed=1, config=config_of(seed=1, logger={"project": "other"})),
        make_run(tmp_path, seed=2, config=config_of(seed=2, paths={"runs_dir": "elsewhere"})),
        make_run(tmp_path, seed=3, config=config_of(beta=1.0, seed=3)),
    ]
    otherwise = make_run(tmp_path, seed=4, model="vae_by_another_name", config=config_of(seed=4))
    others.append(otherwise)  # the config counts, not how it was put together
    different = make_run(tmp_path, seed=0, beta=2)
    groups = {run.path: run.group for run in read_runs([tmp_path]).runs}
    assert {groups[folder] for folder in others} == {groups[first]}
    assert groups[different] != groups[first]


def test_what_becomes_of_running_ones(tmp_path: Path) -> None:
    killed = make_run(tmp_path, status=None, seconds=None, seed=1)
    running = RunRecord.create(
        tmp_path, "live", config=config_of(), overrides=[], command="ganvas train", seed=0
    )
    running.log_metrics({"val/elbo": -5.0}, step=3, images_seen=150, seconds=1.5)
    with (killed / "metrics.csv").open("w") as file:
        file.write("step,images_seen,seconds,name,value\n1,50,0.5,val/elbo,-9.5\n")
        file.write("2,100,0.75,val/elbo,nan\n3,150,0.9,val/el")  # half a row
    runs = {run.path: run for run in read_runs([tmp_path]).runs}
    assert runs[killed].status == "killed"
    assert runs[killed].seconds == 0.75
    assert runs[running.path].status == "running"
    curve = runs[killed].curves()["val/elbo"]
    assert (curve.step, curve.images, curve.seconds) == ([1, 2], [50, 100], [0.5, 0.75])
    assert curve.value[0] == -9.5
    assert math.isnan(curve.value[1])
    assert runs[running.path].curves()["val/elbo"].value == [-5.0]
    running.close()
    assert {run.status for run in read_runs([tmp_path]).runs} == {"killed"}


def test_curves_of_a_run_without_any_are_empty(tmp_path: Path) -> None:
    make_run(tmp_path)
    assert read_runs([tmp_path]).runs[0].curves() == {}


def test_cells_without_a_run_are_shown(tmp_path: Path) -> None:
    sweep = tmp_path / "sweep"
    run = make_run(sweep, seed=0)
    cells = [
        {"overrides": ["model=vae", "seed=0"], "state": "done", "run": str(run.relative_to(sweep))},
        {"overrides": ["model=vae", "seed=1"], "state": "queued", "run": None},
        {"overrides": ["model=vae", "seed=2"], "state": "failed", "run": "vae_digits/none",
         "reason": "died"},
        {"overrides": ["model=vae", "seed=3"], "state": "running", "run": "vae_digits/soon"},
        {"overrides": ["model=vae", "seed=4"], "state": "done", "run": "vae_digits/removed"},
    ]  # fmt: skip
    write_sweep(sweep, cells)
    (sweep / "cells").mkdir()
    for index in (1, 2):
        choices = {"model": "vae", "network": "dense", "dataset": "digits"}
        frozen = {"choices": choices, "config": config_of(seed=index)}
        write_yaml(sweep / "cells" / f"{index:04d}.yaml", frozen)
    runs = read_runs([tmp_path]).runs
    told = [(run.cell, run.status, run.seed, run.reason) for run in runs]
    assert told == [
        (0, "finished", 0, None),
        (1, "queued", 1, None),
        (2, "failed", 2, "died"),
        (3, "killed", 3, None),  # nobody runs the sweep
        (4, "failed", 4, "its run's folder is gone"),
    ]
    assert len({run.group for run in runs[:3]}) == 1  # by the config they were frozen with
    assert runs[3].config == {"model": "vae", "seed": 3}
    # A run given by itself knows its cell, and brings no others.
    assert [run.cell for run in read_runs([run.path for run in runs[:1]]).runs] == [0]


def test_the_last_run_of_a_cell_counts(tmp_path: Path) -> None:
    first = make_run(tmp_path, status="failed", reason="died")
    second = make_run(tmp_path)
    places = [str(folder.relative_to(tmp_path)) for folder in (first, second)]
    attempts = [{"run": place} for place in places]
    write_sweep(tmp_path, [{"state": "done", "run": places[1], "attempts": attempts}])
    runs = read_runs([tmp_path]).runs
    assert [(run.cell, run.status) for run in runs] == [(0, "finished")]
    assert [(run.cell, run.status) for run in read_runs([first]).runs] == [(0, "failed")]
    assert len(read_runs([tmp_path, first]).runs) == 2
    shutil.rmtree(second)  # or never made: its process was killed before
    assert [run.status for run in read_runs([tmp_path]).runs] == ["failed"]


def test_values_of_evaluate_are_there(tmp_path: Path) -> None:
    folder = make_run(tmp_path, values={"val/elbo": -1.0})
    evaluate(
        folder,
        {"value": 7.0},
        {"value": 8.0, "uncertainty": 0.5},
        {"value": 9.0, "checkpoint": "last.ckpt"},
        {"value": 1e9, "checkpoint": "step-00000010.ckpt"},
        {"value": 3.0, "provenance": {"prior": "gmm"}},
        {"value": "inf", "name": "kd_classifier"},
    )
    run = read_runs([tmp_path]).runs[0]
    found = run.values["test/fd_classifier"]
    assert (found.best, found.final, found.uncertainty, found.step) == (8.0, 9.0, 0.5, 10)
    assert found.higher is False
    assert run.values["test/fd_classifier (prior=gmm)"].best == 3.0
    assert run.values["test/kd_classifier"].best == math.inf
    assert run.protocols["test/fd_classifier"] == {"num": 2000}
    assert len(run.evaluations) == 6


def test_the_protocol_that_most_runs_have_is_shown(tmp_path: Path) -> None:
    protocol = {"test/fd_classifier": {"num": 297}}
    folders = [
        make_run(tmp_path, seed=s, values={"test/fd_classifier": 10.0 + s}, protocols=protocol)
        for s in range(3)
    ]

    def shown() -> list[float | None]:
        runs = sorted(read_runs([tmp_path]).runs, key=lambda run: run.seed or 0)
        return [run.values["test/fd_classifier"].best for run in runs]

    evaluate(folders[1], {"value": 99.0})
    assert shown() == [10.0, 11.0, 12.0]  # one of three was measured anew
    evaluate(folders[0], {"value": 98.0})
    evaluate(folders[2], {"value": 97.0})
    assert shown() == [98.0, 99.0, 97.0]  # all were: the later one counts


def test_losses_say_what_they_depend_on(tmp_path: Path) -> None:
    values = {"test/elbo": -1.0, "test/loss": 1.0, "val/elbo": -1.0, "test/reconstruction_mse": 2.0}
    make_run(tmp_path, values=values)
    gaussian = {"_target_": "ganvas.nn.likelihoods.GaussianLikelihood"}
    make_run(tmp_path, seed=1, values=values, config=config_of(likelihood=gaussian))
    make_run(tmp_path, seed=2, beta=4, values=values)
    make_run(tmp_path, seed=3, values=values, fingerprint="other")
    split = {"name": "digits", "split_seed": 1, "val_size": 0.1, "binarization": None}
    make_run(tmp_path, seed=4, values=values, config=config_of(seed=4, dataset=split))
    runs = sorted(read_runs([tmp_path]).runs, key=lambda run: run.seed or 0)

    def unlike(metric: str) -> list[int]:
        first = runs[0].protocols[metric]
        return [i for i, run in enumerate(runs) if run.protocols[metric] != first]

    assert unlike("test/elbo") == [1, 3]
    assert unlike("test/loss") == [1, 2, 3]
    assert unlike("val/elbo") == [1, 3, 4]
    assert unlike("test/reconstruction_mse") == [3]


def test_few_keys_tell_as_much_as_all() -> None:
    configs = [
        {"network": network, "model": model, "loss.beta": beta, "size": 3}
        for model, network in (("vae", "dense"), ("conv_vae", "conv"))
        for beta in (1, 4)
    ]
    assert varying_keys(configs) == ["network", "model", "loss.beta"]
    assert telling_keys(configs) == ["network", "loss.beta"]
    assert telling_keys(configs, typed=["model", "loss.beta"]) == ["model", "loss.beta"]
    assert varying_keys([{"a": 1}, {"a": 1, "b": None}]) == ["b"]
    assert telling_keys([]) == []


def test_equal_values() -> None:
    assert same(1) == same(1.0)
    assert same([1, 2.0]) == same((1.0, 2))
    assert len({same(v) for v in (1, "1", True, None, "None", [1], "[1]", 2**60, 2**60 + 1)}) == 9
