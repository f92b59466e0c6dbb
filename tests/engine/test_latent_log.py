"""`log=true`: a picture goes where the training of its run was shown."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from engine_helpers import ganvas, only_run, train
from PIL import Image

import ganvas as library
from ganvas.engine import latent
from ganvas.errors import ConfigError, GanvasWarning, RunError
from ganvas.tracking import WandbTracker, metrics_frame, read_run_json
from ganvas.tracking.lock import RunLock
from tracking.fake_wandb import without_account
from tracking.wandb_reader import OfflineRun, read_wandb

NAMED = ("logger.project=study", "logger.group=first", "tags=[mine]", "name=my run")


@pytest.fixture
def clean(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No account, no server."""
    with without_account(tmp_path, monkeypatch):
        monkeypatch.setenv("WANDB_MODE", "offline")
        yield


@pytest.fixture
def trained(clean: None, place: Path) -> Path:
    """A run that was shown in W&B, offline."""
    said = train("model=vae", "logger=wandb", "test=true", *NAMED)
    assert said.code == 0, said.err
    return only_run(place)


def segments(run: Path) -> list[OfflineRun]:
    """What W&B's files hold, oldest first."""
    files = sorted(run.glob("wandb/offline-run-*/run-*.wandb"), key=lambda f: f.stat().st_mtime_ns)
    return [read_wandb(file) for file in files]


def pictures(run: Path) -> list[str]:
    return sorted(path.name for path in (run / "latent").glob("*.png"))


def with_logger(run: Path, node: dict[str, Any]) -> Path:
    """The run as if it had been trained with another tracker."""
    config = yaml.safe_load((run / "config.yaml").read_text())
    (run / "config.yaml").write_text(yaml.safe_dump({**config, "logger": node}))
    return run


def test_a_further_segment_of_the_same_run(trained: Path) -> None:
    before = read_run_json(trained)
    made = library.load_run(trained).latent.interpolate(log=True, gif=True)
    first, second = segments(trained)
    assert second.run_id == first.run_id == trained.name
    assert (second.project, second.tags) == (first.project, first.tags) == ("study", ["mine"])
    (shown,) = second.values("latent/interpolate")
    assert shown[0] == 2
    height, width, _ = made.pixels.shape
    assert (shown[1]["width"], shown[1]["height"]) == (width, height)
    (file,) = (trained / "wandb").rglob("latent/interpolate*.png")
    assert file.read_bytes() == made.path.read_bytes() or (
        list(Image.open(file).convert("RGB").getdata()) == list(Image.open(made.path).getdata())
    )
    ours = {key: value for key, value in first.config.items() if not key.startswith("_")}
    assert {key: second.config[key] for key in ours} == ours
    assert read_run_json(trained) == before


def test_the_summary_stays_whole(trained: Path) -> None:
    library.load_run(trained).latent.interpolate(log=True)
    first, second = segments(trained)
    shown = {key for key in first.summary if not key.startswith("_")}
    table = metrics_frame(trained)
    scalars = {name for name in shown if name in table.columns or name.startswith("best/")}
    assert scalars
    for name in scalars:
        assert second.summary[name] == pytest.approx(first.summary[name]), name
    assert second.summary["step"] == first.summary["step"]


def test_the_animation_is_shown_too(trained: Path) -> None:
    made = library.load_run(trained).latent.interpolate(log=True, gif=True)
    assert made.animation is not None
    (shown,) = segments(trained)[-1].values("latent/interpolate-animation")
    assert shown[0] == 2
    (file,) = (trained / "wandb").rglob("*.gif")
    assert file.read_bytes() == made.animation.read_bytes()


def test_tensorboard(vae_copy: Path, place: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    said = train("model=vae", "logger=tensorboard", "test=true", "trainer.max_steps=3")
    assert said.code == 0, said.err
    run = only_run(place)

    def events() -> Any:
        found = EventAccumulator(str(run / "tensorboard"))
        found.Reload()
        return found

    before = {tag: events().Scalars(tag) for tag in events().Tags()["scalars"]}
    library.load_run(run).latent.interpolate(log=True)
    after = events()
    assert {tag: after.Scalars(tag) for tag in after.Tags()["scalars"]} == before
    (image,) = after.Images("latent/interpolate")
    assert image.step == 3


@pytest.mark.parametrize(
    ("node", "why"),
    [
        ({"_target_": "ganvas.tracking.NullTracker"}, "logger=none, which shows nothing"),
        ({"_target_": "ganvas.tracking.WandbTracker", "mode": "disabled"}, "W&B is disabled"),
        ({"_target_": "ganvas.tracking.WandbTracker", "mode": "online"}, "no account is set up"),
    ],
)
def test_refused_before_drawing_where_nothing_would_be_shown(
    clean: None, vae_copy: Path, node: dict[str, Any], why: str
) -> None:
    run = with_logger(vae_copy, node)
    with pytest.raises(ConfigError, match=f"log=true: .*{why}.*leave log out"):
        library.load_run(run).latent.interpolate(log=True)
    assert pictures(run) == []
    said = ganvas("latent", str(run), "tool=interpolate", "log=true")
    assert said.code == 2
    assert said.message.count("\n") == 0


def test_refused_before_drawing_while_the_run_trains(
    trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def drawn(*_: Any) -> None:
        raise AssertionError("the model was loaded")

    monkeypatch.setattr(latent, "restore", drawn)
    lock = RunLock(trained)
    try:
        with pytest.raises(RunError, match=r"log=true: .* in use by process .* without log"):
            library.load_run(trained).latent.interpolate(log=True)
    finally:
        lock.release()
    assert len(segments(trained)) == 1


def test_a_tool_that_fails_shows_nothing(trained: Path) -> None:
    with pytest.raises(RunError, match="at least 2 are needed"):
        library.load_run(trained).latent.interpolate(log=True, images=[0])
    assert len(segments(trained)) == 1
    assert RunLock(trained).release() is None


def test_an_unreachable_server_leaves_the_picture(
    trained: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("WANDB_MODE", "online")
    monkeypatch.setenv("WANDB_API_KEY", "a" * 40)
    run = with_logger(
        trained,
        {"_target_": "ganvas.tracking.WandbTracker", "mode": "online", "init_timeout": 1},
    )
    made = library.load_run(run).latent.interpolate(log=True)
    assert made.path.exists()
    assert "goes on offline" in caplog.text
    assert len(segments(run)[-1].values("latent/interpolate")) == 1


@pytest.mark.parametrize("method", ["start", "log_images"])
def test_a_tracker_that_fails_leaves_the_picture(
    trained: Path, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise OSError("the disk is full\nof old runs")

    monkeypatch.setattr(WandbTracker, method, fail)
    with pytest.warns(GanvasWarning, match=r"WandbTracker failed \(the disk is full\); the pict"):
        made = library.load_run(trained).latent.interpolate(log=True)
    assert made.path.exists()


def test_a_copied_run_keeps_its_name(trained: Path, tmp_path: Path) -> None:
    """The id is that of the folder, as for a resumed run."""
    copied = shutil.copytree(trained, tmp_path / trained.name)
    library.load_run(copied).latent.interpolate(log=True)
    assert segments(copied)[-1].run_id == trained.name
