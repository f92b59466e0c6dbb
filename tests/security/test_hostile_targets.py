"""Names that a `_target_` must not have, and those that it may have: of every package in reach."""

from __future__ import annotations

import inspect
import sys

import pytest

from ganvas.engine.targets import locate
from ganvas.errors import ConfigError

NOT_ALLOWED = (
    "torch.hub.load", "torch.hub.load_state_dict_from_url", "torch.utils.cpp_extension.load",
    "torch.utils.cpp_extension.BuildExtension", "torch.package.PackageImporter", "torch.jit.load",
    "torch.jit.ScriptModule", "torch.fx.GraphModule", "torch.distributed.init_process_group",
    "torch.distributed.rpc.rpc_sync", "torch.distributed.nn.RemoteModule",
    "torch.serialization.load", "torch.distributed.run.main",
    "torch.distributed.elastic.multiprocessing.start_processes", "torch.multiprocessing.spawn",
    "torch.utils.data.DataLoader", "torch.utils.data.datapipes.iter.FileOpener",
    "torch.nn.parallel.DistributedDataParallel", "torch.nn.Module.load_state_dict",
    "torch.nn.Parameter", "torch.optim.swa_utils.AveragedModel", "torch.cuda.CUDAGraph",
    "torch.profiler.profile", "torch.onnx.export", "torch.compile",
    "torch.nn.modules.module.Module.eval", "torch.ops.load_library",
    "torchvision.datasets.utils.download_and_extract_archive",
    "torchvision.datasets.utils.extract_archive", "torchvision.models.resnet18",
    "torchvision.io.read_file", "torchvision.io.write_file", "torchvision.datasets.LSUN",
    "torchvision.models.detection.fasterrcnn_resnet50_fpn",
    "torchvision.datasets.folder.default_loader", "torchvision.datasets.MNIST.download",
    "torchmetrics.image.fid.NoTrainInceptionV3", "torchmetrics.text.BERTScore",
    "torchmetrics.multimodal.CLIPScore", "torchmetrics.audio.NonIntrusiveSpeechQualityAssessment",
    "torchmetrics.image.LearnedPerceptualImagePatchSimilarity",
    "torchmetrics.utilities.data.allclose", "pytorch_lightning.cli.LightningCLI",
    "pytorch_lightning.cli.SaveConfigCallback", "pytorch_lightning.callbacks.ModelCheckpoint",
    "pytorch_lightning.callbacks.LearningRateFinder",
    "pytorch_lightning.callbacks.OnExceptionCheckpoint",
    "pytorch_lightning.serve.ServableModuleValidator", "pytorch_lightning.loggers.CSVLogger",
    "pytorch_lightning.loggers.MLFlowLogger", "pytorch_lightning.loggers.WandbLogger",
    "pytorch_lightning.profilers.AdvancedProfiler", "pytorch_lightning.LightningModule",
    "pytorch_lightning.LightningModule.load_from_checkpoint",
    "pytorch_lightning.demos.boring_classes.BoringModel",
    "pytorch_lightning.demos.transformer.WikiText2",
    "pytorch_lightning.utilities.migration.pl_legacy_patch",
    "pytorch_lightning.plugins.io.TorchCheckpointIO", "ganvas.train", "ganvas.load_run",
    "ganvas.cli.main.main", "ganvas.engine.runs.Run",
    "ganvas.engine.checkpoint_files.AtomicCheckpointIO", "ganvas.engine.train.train_checked",
    "ganvas.sweep.driver.Driver", "ganvas.report.serve.Dashboard", "ganvas.tracking.RunRecord",
    "ganvas.tracking.record.RunRecord.create", "ganvas.tracking.lock.RunLock",
    "ganvas.tracking.hub.Hub", "ganvas.tracking.tables.AppendFile", "ganvas.tracking.runlog.RunLog",
    "ganvas.data.ImageData", "ganvas.tracking.syncing.OfflineRun",
    "ganvas.callbacks.checkpoints.Checkpoints", "ganvas.data.store.Store",
    "ganvas.data.tensor_file.write_whole", "ganvas.metrics.perceptual.LPIPS",
    "ganvas.evaluation.callback.Evaluations", "ganvas.evaluation.reference.Reference",
    "ganvas.errors.GanvasError", "ganvas.data.sources.torchvision_sets.Callable",
)  # fmt: skip
"""Of the trusted packages: process, file, network, import, code, methods, and re-exported names."""

NO_PATH = (
    "torch.nn.Module.__class__", "torch.nn.modules.__loader__.load_module", "torch.__dict__",
    "torch._utils_internal.get_file_path", "ganvas.nn.dense.__builtins__.eval", "torch..nn.Linear",
    ".torch.nn.Linear", "torch.nn.Linear()", "torch.nn.Linear;os.system", "torch.nn.Linear\x00",
    "torch/nn/Linear", "torch.nn.Linear ", " torch.nn.Linear", "torch.nn.\u200bLinear", "torch",
    "torch.nn['Linear']", "..torch.nn.Linear", "torch.nn.modules.linear:Linear",
)  # fmt: skip

UNTRUSTED = (
    "os.system", "posix.system", "nt.system", "_posixsubprocess.fork_exec", "subprocess.Popen",
    "builtins.__import__", "builtins.exec", "ctypes.CDLL", "runpy.run_path", "code.interact",
    "pty.spawn", "webbrowser.open", "urllib.request.urlopen", "ftplib.FTP", "shutil.rmtree",
    "pickle.loads", "pydoc.locate", "numpy.load", "numpy.f2py.compile",
    "sklearn.datasets.fetch_openml", "joblib.load", "pandas.read_pickle", "hydra.utils.instantiate",
    "hydra.utils.call", "hydra.utils.get_method", "omegaconf.OmegaConf.load", "wandb.init",
    "yaml.load", "yaml.unsafe_load", "torch_fidelity.calculate_metrics", "lightning_fabric.Fabric",
    "tоrch.nn.Linear", "ｔorch.nn.Linear", "torch\u200b.nn.Linear", "Torch.nn.Linear",
    "PIL.Image.open",
)  # fmt: skip
"""Other packages, and names that look like `torch` but are not: a Cyrillic o, a wide t."""


EVERYDAY = (
    "torch.nn.GroupNorm", "torch.nn.Sequential", "torch.optim.RMSprop", "torch.optim.AdamW",
    "torch.utils.data.TensorDataset", "torchvision.datasets.Omniglot", "torchvision.models.ResNet",
    "torchvision.transforms.v2.Resize", "torchmetrics.MeanMetric", "torchvision.ops.MLP",
    "torchmetrics.image.PeakSignalNoiseRatio", "pytorch_lightning.callbacks.LambdaCallback",
    "torchmetrics.image.StructuralSimilarityIndexMeasure", "torch.optim.lr_scheduler.OneCycleLR",
    "ganvas.tracking.WandbTracker", "ganvas.latent.restore.Restore", "ganvas.losses.mmd.RBFKernel",
    "ganvas.evaluation.priors.MixturePrior", "ganvas.callbacks.images.ImageGrids",
)  # fmt: skip
"""What configs and users' own parts name."""


@pytest.mark.parametrize("path", [*NOT_ALLOWED, *NO_PATH, *UNTRUSTED])
def test_hostile_names_are_refused_with_one_line(path: str) -> None:
    before = set(sys.modules)
    with pytest.raises(ConfigError) as refusal:
        locate(path, key="network.x._target_", trust=())
    said = str(refusal.value)
    assert said.startswith("network.x._target_: ") and "\n" not in said
    assert path not in UNTRUSTED or set(sys.modules) == before  # refused before it was imported


def test_names_of_everyday_use_are_let_through() -> None:
    """Two-sided: a check that refused all would pass the test above."""
    for path in EVERYDAY:
        assert inspect.isclass(locate(path, key="x", trust=())), path
