from __future__ import annotations

import errno
import json
import logging
import math
import os
import signal
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from omegaconf import OmegaConf
from PIL import Image

from ganvas.errors import RunError
from ganvas.tracking import RunRecord, find_runs, holder, metrics_frame, read_run_json

CONFIG = {"seed": 3, "loss": {"beta": 4.0}, "logger": {"api_key": "abc"}, "text": "1e-3"}


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[..., RunRecord]]:
    made: list[RunRecord] = []

    def create(**changes: Any) -> RunRecord:
        arguments: dict[str, Any] = {
            "config": CONFIG,
            "overrides": ["model=vae"],
            "command": "ganvas train model=vae",
            "seed": 3,
        }
        made.append(RunRecord.create(tmp_path / "runs", "toy", **{**arguments, **changes}))
        return made[-1]

    yield create
    for record in made:
        record.close()


def test_create_writes_the_whole_record(make: Callable[..., RunRecord]) -> None:
    record = make(overrides=["model=vae", "logger.api_key=hush"])
    content = read_run_json(record.path)
    assert content["status"] == "running" and content["reason"] is None
    assert content["seed"] == 3 and content["format_version"] == 1
    assert content["id"] == record.id and record.path.name.endswith(f"-{record.id}")
    assert len(content["config_hash"]) == 64
    assert content["packages"]["torch"] and content["packages"]["python"]
    assert content["hardware"]["torch_threads"] >= 1 and content["hardware"]["cpu_capability"]
    config = OmegaConf.to_container(OmegaConf.load(record.path / "config.yaml"))
    assert config == {**CONFIG, "logger": {"api_key": "***"}}
    overrides = yaml.safe_load((record.path / "overrides.yaml").read_text())
    assert overrides == ["model=vae", "logger.api_key=***"]


def test_runs_made_in_one_second_do_not_collide(make: Callable[..., RunRecord]) -> None:
    assert len({make().path for _ in range(5)}) == 5


@pytest.mark.parametrize("name", ["", "../out", "/abs"])
def test_a_name_stays_inside_runs_dir(tmp_path: Path, name: str) -> None:
    with pytest.raises(RunError, match="name must be"):
        RunRecord.create(tmp_path, name, config={}, overrides=[], command="", seed=0)
    assert not list(tmp_path.iterdir())


def test_values_come_back_exactly(make: Callable[..., RunRecord]) -> None:
    record = make()
    values = {"train/loss": 0.1 + 0.2, "train/odd": math.nan, "train/big": math.inf}
    record.log_metrics(values, step=10, images_seen=640, seconds=1.25)
    record.log_metrics({"val/elbo": -1 / 3}, step=10, images_seen=640, seconds=1.5)
    record.log_metrics({"val/elbo": -2 / 3}, step=10, images_seen=640, seconds=1.75)
    record.log_metrics({"train/loss": 1e-300}, step=20, images_seen=1280, seconds=2.5)
    text = (record.path / "metrics.csv").read_text()
    assert text.splitlines()[:3] == [
        "step,images_seen,seconds,name,value",
        "10,640,1.25,train/loss,0.30000000000000004",
        "10,640,1.25,train/odd,nan",
    ]
    frame = metrics_frame(record.path)
    assert list(frame.index) == [10, 20]
    assert frame.loc[10, "train/loss"] == 0.1 + 0.2 and frame.loc[20, "train/loss"] == 1e-300
    assert frame.loc[10, "val/elbo"] == -2 / 3 and math.isinf(frame.loc[10, "train/big"])
    assert list(frame.images_seen) == [640, 1280] and list(frame.seconds) == [1.75, 2.5]
    assert math.isnan(frame.loc[20, "val/elbo"]) and "train/odd" in frame


def test_trace_widens_when_a_part_appears(make: Callable[..., RunRecord]) -> None:
    record = make()
    record.log_trace([1, 2], {"loss": [0.5, 0.25], "kl": [math.nan, 2.0]})
    record.log_trace([3], {"loss": [0.125], "new": np.float64([7.0])})
    assert (record.path / "trace.csv").read_text().splitlines() == [
        "step,loss,kl,new",
        "1,0.5,,",
        "2,0.25,2.0,",
        "3,0.125,,7.0",
    ]
    with pytest.raises(RunError, match="one value per step"):
        record.log_trace([4, 5], {"loss": [1.0]})


def test_truncate_drops_later_rows_and_forgets_later_bests(
    make: Callable[..., RunRecord],
) -> None:
    record = make()
    for step, value in [(1, 5.0), (2, 3.0), (3, 1.0)]:
        record.log_metrics({"val/loss": value}, step=step, images_seen=step, seconds=step)
        record.log_trace([step], {"loss": [value]})
        record.update_metric("val/loss", value, step=step, higher_is_better=False)
    others = {p: p.read_bytes() for p in record.path.glob("*.yaml")}
    record.truncate(2)
    assert list(metrics_frame(record.path).index) == [1, 2]
    assert [row.split(",")[0] for row in (record.path / "trace.csv").read_text().split()] == [
        "step",
        "1",
        "2",
    ]
    entry = read_run_json(record.path)["metrics"]["val/loss"]
    assert entry["best"] == entry["final"] == {"value": 3.0, "step": 2}
    assert others == {p: p.read_bytes() for p in record.path.glob("*.yaml")}
    record.log_metrics({"val/loss": 9.0}, step=3, images_seen=3, seconds=3)
    record.log_trace([3], {"loss": [9.0]})
    assert metrics_frame(record.path).loc[3, "val/loss"] == 9.0
    before = (record.path / "metrics.csv").read_bytes()
    record.truncate(3)
    assert (record.path / "metrics.csv").read_bytes() == before


def test_an_unfinished_last_line_is_cut_off(make: Callable[..., RunRecord]) -> None:
    record = make()
    record.log_metrics({"a": 1.0}, step=1, images_seen=1, seconds=1)
    record.close()
    with (record.path / "metrics.csv").open("a") as file:
        file.write("2,2,2.0,a")
    assert list(metrics_frame(record.path).index) == [1]
    again = RunRecord.open(record.path)
    again.log_metrics({"a": 3.0}, step=3, images_seen=3, seconds=3)
    again.close()
    assert list(metrics_frame(record.path).index) == [1, 3]


def test_best_survives_reopening_and_ignores_nan(make: Callable[..., RunRecord]) -> None:
    record = make()
    for step, value in enumerate([1.0, 5.0, 5.0, 2.0]):
        record.update_metric("val/elbo", value, step=step, higher_is_better=True)
        record.update_metric("val/beta", value, step=step, higher_is_better=None)
    record.finish("interrupted", reason="Ctrl-C")
    assert read_run_json(record.path)["reason"] == "Ctrl-C"
    again = RunRecord.open(record.path)
    again.update_metric("val/elbo", 3.0, step=8, higher_is_better=True)
    again.update_metric("val/elbo", math.nan, step=9, higher_is_better=True)
    again.finish("finished")
    content = read_run_json(record.path)
    assert content["metrics"]["val/elbo"] == {
        "final": {"value": "nan", "step": 9},
        "higher_is_better": True,
        "best": {"value": 5.0, "step": 1},
    }
    assert content["metrics"]["val/beta"] == {"final": {"value": 2.0, "step": 3}}
    assert content["status"] == "finished" and content["reason"] is None and content["finished"]


def test_evaluations_are_appended_and_leave_the_status(make: Callable[..., RunRecord]) -> None:
    record = make()
    record.finish("failed", reason="no luck")
    for name in ("fid", "elbo"):
        again = RunRecord.open(record.path, resume=False)
        again.add_evaluations([{"name": name, "value": 1.0}])
        again.close()
    content = read_run_json(record.path)
    assert [e["name"] for e in content["evaluations"]] == ["fid", "elbo"]
    assert content["status"] == "failed"
    with pytest.raises(RunError, match="evaluations can't be set"):
        record.set(evaluations=[])


def test_pictures(make: Callable[..., RunRecord]) -> None:
    record = make()
    image = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3)
    file = record.log_images("val/recon", image, step=42)
    assert file == record.path / "samples" / "val_recon-00000042.png"
    assert np.array_equal(np.asarray(Image.open(file)), image)
    assert len(list(file.parent.iterdir())) == 1
    with pytest.raises(RunError, match=r"uint8 \(H, W, 3\), got float64"):
        record.log_images("x", image / 255, step=1)


def test_log_holds_messages_warnings_and_tracebacks(
    make: Callable[..., RunRecord], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_TOKEN", "deadbeef0123")
    record = make()
    record.attach_log()
    logging.getLogger("ganvas.engine").info("begun")
    logging.getLogger("pytorch_lightning").info("a tip")
    logging.getLogger("pytorch_lightning").warning("a caution")
    with pytest.MonkeyPatch.context() as patch:
        # pytest collects warnings itself: show this one the way Python does outside of tests.
        patch.setattr(record._log, "_shown", lambda *_, **__: None)
        warnings.showwarning(UserWarning("slow path"), UserWarning, "file.py", 7)
    try:
        raise ValueError("bad deadbeef0123")
    except ValueError as error:
        path = record.log_exception(error)
    record.finish("failed", reason="ValueError: bad")
    logging.getLogger("ganvas.engine").warning("too late")
    text = path.read_text()
    assert "begun" in text and "a caution" in text and "slow path" in text
    assert "Traceback" in text and "ValueError: bad ***" in text
    assert "a tip" not in text and "too late" not in text and "deadbeef" not in text


def test_a_second_process_is_kept_out(make: Callable[..., RunRecord]) -> None:
    record = make()
    code = (
        "import sys; from ganvas.tracking import RunRecord\n"
        "from ganvas.errors import RunError\n"
        "try: RunRecord.open(sys.argv[1])\n"
        "except RunError as e: print(e)\n"
    )
    command = [sys.executable, "-c", code, str(record.path)]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert f"in use by process {os.getpid()}" in said
    assert holder(record.path) == os.getpid()
    record.close()
    assert holder(record.path) is None
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == ""


def test_a_forked_child_does_not_keep_the_lock(make: Callable[..., RunRecord]) -> None:
    record = make()
    read, write = os.pipe()
    told, tell = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # forking beside torch's threads
        child = os.fork()
    if child == 0:
        os.close(write)
        os.write(tell, b"!")
        os.read(read, 1)
        os._exit(0)
    os.read(told, 1)
    for fd in (read, told, tell):
        os.close(fd)
    # What the kernel does when this process is killed: its descriptor goes, unlock is not called.
    os.close(record._lock._fd)
    record._lock._fd = -1
    assert holder(record.path) is None
    os.close(write)
    os.waitpid(child, 0)


def test_kill_9_between_writes_leaves_valid_files(tmp_path: Path) -> None:
    code = (
        "import sys; from ganvas.tracking import RunRecord\n"
        "r = RunRecord.create(sys.argv[1], 'k', config={}, overrides=[], command='c', seed=0)\n"
        "i = 0\n"
        "while True:\n"
        "    i += 1\n"
        "    r.log_metrics({'val/a': i}, step=i, images_seen=i, seconds=i)\n"
        "    r.update_metric('val/a', i, step=i, higher_is_better=True)\n"
        "    r.set(note='x' * 20000)\n"
        "    if i == 5: print('going', flush=True)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "going\n"
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    (run,) = find_runs(tmp_path)
    content = read_run_json(run)
    assert content["status"] == "running" and holder(run) is None
    assert content["metrics"]["val/a"]["best"]["step"] >= 5
    again = RunRecord.open(run)
    last = int(metrics_frame(run).index[-1])
    again.truncate(3)
    again.finish("finished")
    assert last >= 5 and read_run_json(run)["metrics"]["val/a"]["best"]["step"] == 3


def test_a_full_disk_raises_and_damages_nothing(
    make: Callable[..., RunRecord], monkeypatch: pytest.MonkeyPatch
) -> None:
    record = make()
    record.log_metrics({"a": 1.0}, step=1, images_seen=1, seconds=1)
    table, content = (record.path / "metrics.csv").read_bytes(), read_run_json(record.path)
    write = os.write

    def full(fd: int, data: Any) -> int:
        if len(data) > 4:
            return write(fd, bytes(data[:4]))
        raise OSError(errno.ENOSPC, "No space left on device")

    def no_sync(fd: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        patch.setattr(os, "fsync", no_sync)
        with pytest.raises(OSError, match="No space"):
            record.log_metrics({"a": 2.0}, step=2, images_seen=2, seconds=2)
        with pytest.raises(OSError, match="No space"):
            record.set(reason="x")
    assert (record.path / "metrics.csv").read_bytes() == table
    assert read_run_json(record.path) == content
    assert not [p for p in record.path.iterdir() if p.suffix == ".tmp"]
    record.log_metrics({"a": 2.0}, step=2, images_seen=2, seconds=2)
    assert list(metrics_frame(record.path)["a"]) == [1.0, 2.0]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "is no run folder"),
        ("{", "not valid JSON"),
        ("[]", "needs the keys"),
        (json.dumps({"format_version": 99, "id": "a", "status": "b"}), "upgrade ganvas"),
    ],
)
def test_a_damaged_record_is_named(tmp_path: Path, text: str | None, message: str) -> None:
    if text is not None:
        (tmp_path / "run.json").write_text(text)
    with pytest.raises(RunError, match=message):
        read_run_json(tmp_path)
    with pytest.raises(RunError, match=message):
        RunRecord.open(tmp_path)
    with pytest.raises(RunError, match="no metrics"):
        metrics_frame(tmp_path)


def test_find_runs_does_not_search_inside_runs(make: Callable[..., RunRecord]) -> None:
    first, second = make(), make()
    inner = first.path / "checkpoints"
    inner.mkdir()
    (inner / "run.json").write_text("{}")
    assert find_runs(first.path.parent) == sorted([first.path, second.path])
    assert find_runs(first.path) == [first.path]
    with pytest.raises(RunError, match="is no folder"):
        find_runs(first.path / "nowhere")
