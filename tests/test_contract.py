"""What every model promises: each `conf/model/*.yaml` on a tiny data set, with no test of its own.

Composed, checked, built, trained for two batches, saved, loaded again; then sampling, encoding,
decoding and reconstructing where its protocols say so, and the promised error where they don't.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest
import torch

import ganvas
from ganvas.engine.build import build_model
from ganvas.engine.check import check_build, check_overrides
from ganvas.engine.compose import compose, options
from ganvas.engine.runs import ModelView, Run
from ganvas.errors import GanvasError, RunError
from ganvas.losses.adversarial import AdversarialLoss
from ganvas.models.base import GenerativeModule
from ganvas.paths import config_dir
from ganvas.protocols import Conditional, Decodes, Encodes, Reconstructs, Samples
from ganvas.types import Batch

MODELS = sorted(p.stem for p in config_dir().glob("model/*.yaml") if not p.stem.startswith("_"))
SHAPE = (1, 8, 8)


@cache
def step_for_step(model: str) -> list[str]:
    """A generator step after each critic step, where a preset has fewer: two batches move all."""
    config = compose([f"model={model}"]).config
    return ["model.n_critic=1"] if "n_critic" in config.model else []


def overrides(model: str, runs_dir: Path) -> list[str]:
    return [
        f"model={model}",
        *step_for_step(model),
        "dataset=digits",
        "dataset.max_train=160",
        "dataset.val_size=10",
        "dataset.batch_size=10",
        "trainer=cpu",
        "trainer.max_steps=2",
        "trainer.progress_bar=false",
        "logger=none",
        "callbacks.images.num=4",
        f"paths.runs_dir={runs_dir}",
    ]


@pytest.fixture(scope="module", params=MODELS)
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run of two batches of each model."""
    return ganvas.train(overrides(request.param, tmp_path_factory.mktemp("contract")))


@pytest.fixture
def view(run: Run) -> ModelView:
    """Its model with the last weights."""
    return run.load_model("last")


@pytest.fixture(scope="module")
def images() -> torch.Tensor:
    return torch.rand(3, *SHAPE, generator=torch.Generator().manual_seed(0))


def test_there_are_models_to_walk() -> None:
    assert {"ae", "vae", "gan", "conv_ae", "conv_vae", "dcgan"} <= set(MODELS)


@pytest.mark.parametrize("model", MODELS)
def test_it_is_checked_and_sized_without_data(model: str, tmp_path: Path) -> None:
    checked = check_overrides(overrides(model, tmp_path / "runs"))
    _, module = check_build(checked)
    assert isinstance(module, GenerativeModule)
    assert all(p.is_meta for p in module.parameters())
    assert not (tmp_path / "runs").exists()
    trained = {id(p) for network in module.networks().values() for p in network.parameters()}
    assert bool(trained) == bool(module.optimizer_names)  # a fitted model has nothing to train
    assert trained <= {id(p) for p in module.parameters()}


def test_it_trains_two_batches_and_says_so(run: Run) -> None:
    assert run.record["status"] == "finished"
    saved = torch.load(run.path / "checkpoints" / "last.ckpt", weights_only=True)
    assert saved["ganvas_counters"]["step"] == 2
    assert saved["ganvas_counters"]["images_seen"] == 20
    metrics = run.metrics()
    assert list(metrics.index) == [2]
    groups = {name.split("/")[0] for name in metrics.columns if "/" in name}
    assert groups == {"train", "val", "test"}
    assert metrics.notna().all(axis=None)
    assert len((run.path / "trace.csv").read_text().splitlines()) == 1 + 2


def test_two_small_steps_moved_every_trained_weight(run: Run) -> None:
    checked = check_overrides(overrides(run.record["choices"]["model"], run.path.parent.parent))
    data = check_build(checked)[0]
    torch.manual_seed(checked.settings.seed)
    fresh = build_model(checked, data)
    trained = run.load_model("last").module
    for name, network in fresh.networks().items():
        after = dict(trained.networks()[name].named_parameters())
        for key, before in network.named_parameters():
            change = (after[key] - before).abs().max()
            assert change < 0.02, f"{name}.{key}"
            assert change > 0 or f"{name}.{key}" == unseen_bias(fresh), f"{name}.{key}"


def unseen_bias(model: GenerativeModule) -> str | None:
    """The critic's last bias, where the loss does not change if all logits grow by as much."""
    loss, zero = getattr(model, "loss", None), torch.zeros(1)
    if not isinstance(loss, AdversarialLoss):
        return None
    if not torch.equal(loss.critic(zero, zero), loss.critic(zero + 1, zero + 1)):
        return None
    names = [name for name, _ in model.networks()["critic"].named_parameters()]
    return "critic." + [name for name in names if name.endswith("bias")][-1]


def test_its_monitor_and_directions_name_metrics_that_exist(run: Run, view: ModelView) -> None:
    columns = set(run.metrics().columns)
    if view.module.monitor is not None:
        assert view.module.monitor in columns
        assert (run.path / "checkpoints" / "best.ckpt").is_file()
    else:
        assert not (run.path / "checkpoints" / "best.ckpt").exists()
    own = {name.removeprefix("test/") for name in columns if name.startswith("test/")}
    assert set(view.module.higher_is_better) & own or not view.module.higher_is_better


def test_the_checkpoint_is_the_models_state(run: Run, view: ModelView) -> None:
    saved = torch.load(run.path / "checkpoints" / "last.ckpt", weights_only=True)
    state = view.module.state_dict()
    assert state.keys() == saved["state_dict"].keys()
    for name, tensor in state.items():
        assert torch.equal(tensor, saved["state_dict"][name]), name


def test_loading_twice_gives_the_same_outputs_to_the_bit(run: Run, images: torch.Tensor) -> None:
    first, second = run.load_model("last"), run.load_model("last")
    labels = first.class_labels(len(images))
    for protocol, verb in ((Encodes, "encode"), (Reconstructs, "reconstruct")):
        if isinstance(first.module, protocol):
            one, two = (getattr(view, verb)(images, labels) for view in (first, second))
            assert torch.equal(one, two)
    if isinstance(first.module, Samples):
        assert torch.equal(first.sample(5, seed=1), second.sample(5, seed=1))
    batch = Batch(images, y=labels)
    one, two = (v.module.evaluation_parts(batch) for v in (first, second))
    assert one.keys() == two.keys()
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_it_samples_or_says_that_it_can_not(view: ModelView) -> None:
    if not isinstance(view.module, Samples):
        with pytest.raises(RunError, match=f"{type(view.module).__name__} can't sample: .*vae"):
            view.sample(2)
        return
    drawn = view.sample(5, seed=3)
    assert drawn.shape == (5, *SHAPE)
    assert drawn.dtype == torch.float32
    assert not drawn.requires_grad
    assert 0 <= drawn.min() < drawn.max() <= 1
    torch.manual_seed(12345)
    assert torch.equal(view.sample(5, seed=3), drawn)
    assert not torch.equal(view.sample(5, seed=4), drawn)


def test_it_reconstructs_or_says_that_it_can_not(view: ModelView, images: torch.Tensor) -> None:
    if not isinstance(view.module, Reconstructs):
        with pytest.raises(RunError, match="can't reconstruct: choose an autoencoder or a VAE"):
            view.reconstruct(images)
        return
    labels = view.class_labels(len(images))
    made = view.reconstruct(images, labels)
    assert made.shape == images.shape
    assert 0 <= made.min() < made.max() <= 1
    one = view.reconstruct(images[1:2], None if labels is None else labels[1:2])
    torch.testing.assert_close(one, made[1:2], rtol=1e-4, atol=1e-5)


def test_it_encodes_or_says_that_it_can_not(view: ModelView, images: torch.Tensor) -> None:
    if not isinstance(view.module, Encodes):
        with pytest.raises(RunError, match="can't encode: choose a model with an encoder"):
            view.encode(images)
        return
    codes = view.encode(images, view.class_labels(len(images)))
    assert codes.shape == (3, view.module.latent_dim)
    assert torch.isfinite(codes).all()
    assert (codes[0] != codes[1]).any()


def test_it_decodes_or_says_that_it_can_not(view: ModelView, images: torch.Tensor) -> None:
    if not isinstance(view.module, Decodes):
        with pytest.raises(RunError, match="can't decode: choose a model with a decoder"):
            view.decode(torch.zeros(1, 1))
        return
    z = torch.randn(4, view.module.latent_dim, generator=torch.Generator().manual_seed(1))
    made = view.decode(z, view.class_labels(len(z)))
    assert made.shape == (4, *SHAPE)
    assert 0 <= made.min() < made.max() <= 1
    if isinstance(view.module, Samples):
        assert torch.equal(view.sample(4, noise=z), made)
    if isinstance(view.module, Encodes) and isinstance(view.module, Reconstructs):
        labels = view.class_labels(len(images))
        decoded = view.decode(view.encode(images, labels), labels)
        assert torch.equal(decoded, view.reconstruct(images, labels))


def test_labels_are_asked_for_where_they_count_and_only_there(
    view: ModelView, images: torch.Tensor
) -> None:
    verbs = [(Encodes, "encode"), (Reconstructs, "reconstruct")]
    y = torch.zeros(len(images), dtype=torch.long)
    for protocol, verb in verbs:
        if isinstance(view.module, protocol) and isinstance(view.module, Conditional):
            with pytest.raises(RunError, match="is conditional: give the labels y"):
                getattr(view, verb)(images)
            assert not torch.equal(
                getattr(view, verb)(images, y), getattr(view, verb)(images, y + 1)
            )
        elif isinstance(view.module, protocol):
            with pytest.raises(RunError, match="is not conditional: leave out y"):
                getattr(view, verb)(images, y)


def test_its_pictures_are_there(run: Run, view: ModelView) -> None:
    names = {p.name.rsplit("-", 1)[0] for p in (run.path / "samples").glob("*.png")}
    wanted = {"samples"} if isinstance(view.module, Samples) else set()
    wanted |= {"reconstructions"} if isinstance(view.module, Reconstructs) else set()
    assert names == wanted


SMALL: dict[str, dict[str, object]] = {
    "interpolate": {"steps": 2, "num": 2},
    "traverse": {"steps": 2, "dims": 2, "num_images": 20},
    "concept": {"label": 3, "num": 60, "strengths": [1], "images": [0]},
    "manifold": {"size": 2},
    "scatter": {"num": 40, "method": "pca"},
    "neighbours": {"k": 2, "num_searched": 40, "measured": 2, "shown": 1},
    "nearest": {"k": 2, "num": 8, "num_train": 40, "shown": 1},
    "restore": {"num": 2},
    "anomaly": {"num": 20, "codes": 2, "shown": 2},
    "project": {"steps": 2, "restarts": 1, "images": [0]},
    "walk": {},
}


def require_drawn_or_refused(run: Run, tools: list[str], folder: Path) -> None:
    """A picture, or a line that says why there is none and nothing on disk."""
    kind = type(run.load_model("last").module)
    needs = {"neighbours": Encodes, "restore": Reconstructs, "interpolate": Decodes}
    for tool in tools:
        out = folder / f"{tool}.png"
        try:
            run.latent.draw(tool, out=out, **SMALL[tool])
        except GanvasError as error:
            said = str(error)
            assert "\n" not in said and len(said) > 40, said
            assert not list(folder.glob(f"{tool}.*"))
        else:
            assert out.is_file() and out.with_suffix(".yaml").is_file()
        if tool in needs and not issubclass(kind, needs[tool]):
            assert not out.exists()
    drawn = {file.stem for file in folder.glob("*.png")}
    if issubclass(kind, Encodes) and issubclass(kind, Decodes):
        wanted = {"interpolate", "traverse", "scatter", "neighbours", "anomaly"}
        assert wanted & set(tools) <= drawn
    if issubclass(kind, Samples):
        wanted = {"interpolate", "traverse", "nearest", "project", "walk"}
        assert wanted & set(tools) <= drawn


def test_some_latent_tools_draw_it_or_say_why_not(run: Run, tmp_path: Path) -> None:
    """Every fourth tool, others for each model: each tool meets models of each family."""
    assert SMALL.keys() == set(options("tool"))
    first = MODELS.index(run.record["choices"]["model"])
    require_drawn_or_refused(run, [*SMALL][first % 4 :: 4], tmp_path)


@pytest.mark.slow
def test_each_latent_tool_draws_it_or_says_why_not(run: Run, tmp_path: Path) -> None:
    require_drawn_or_refused(run, [*SMALL], tmp_path)
