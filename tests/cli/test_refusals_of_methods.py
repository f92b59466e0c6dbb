"""Methods asked for what they can't do: one clear message, exit code 2, nothing on disk."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from engine_helpers import ganvas, only_run, train

from ganvas import load_run
from ganvas.errors import RunError

NO_LABELS = (
    "model=conditional_vae: num_classes must be at least 1, got None: the data have no labels; "
    "choose a labelled dataset, or model=vae"
)
NO_CLASSES = (
    "features: a classifier needs images with labels of at least 2 classes, got num_classes=None; "
    "choose a labelled dataset, or another network by features._target_"
)
OFF = "; 0 leaves its term out of the objective"
BATCH_NORM = (
    "batch norm needs batches of at least 2 images per rank; raise dataset.batch_size, or choose a "
    "network without it"
)
FACTORY = "must be a factory"

VALUES = {
    "model=iwae model.num_samples=0": (
        "model=iwae: num_samples must be at least 1, got 0; 1 gives the sampled ELBO"
    ),
    "model=iwae model.gradient=dreg": (
        "model.gradient: should be 'standard' or 'doubly_reparameterized', got 'dreg'"
    ),
    "loss.reconstruction_weight=-1": "loss.reconstruction_weight must be at least 0, got -1",
    "loss.beta=inf": "loss.beta: should be a finite number, got inf",
    "loss.beta={_target_:ganvas.schedules.LinearSchedule,start:1,end:-1,steps:10}": (
        "loss.beta must be at least 0, got -1"
    ),
    "model=beta_tc_vae loss.alpha=-1": f"loss.alpha must be at least 0, got -1{OFF}",
    "model=beta_tc_vae loss.estimator=exact": (
        "loss.estimator: should be 'minibatch_weighted' or 'minibatch_stratified', got 'exact'"
    ),
    "model=capacity_vae loss.gamma=-1": f"loss.gamma must be at least 0, got -1{OFF}",
    "model=capacity_vae loss.capacity.end=-3": (
        "loss.capacity must be at least 0 nats, got -3; no KL can be below 0"
    ),
    "model=free_bits_vae loss.free_bits=-1": (
        "loss.free_bits must be at least 0 nats per dimension, got -1; 0 is the ELBO"
    ),
    "model=dip_vae loss.variant=III": "loss.variant: should be 'I' or 'II', got 'III'",
    "model=dip_vae loss.lambda_diagonal=nan": (
        "loss.lambda_diagonal: should be a finite number, got nan"
    ),
    "model=info_vae loss.lambda_prior=0": (
        "loss.lambda_prior must be at least 1 - alpha = 1, got 0; 1 - alpha leaves the MMD out"
    ),
    "model=info_vae loss.kernel=rbf": (
        "loss.kernel must name a kernel by _target_, such as ganvas.losses.mmd.RBFKernel, got 'rbf'"
    ),
    "model=wae model.kernel.scales=[]": (
        "model=wae: scales must be positive numbers, got []; [1] is the plain kernel"
    ),
    "model=wae model.mmd_weight=inf": "model.mmd_weight: should be a finite number, got inf",
    "model=factor_vae model.gamma=-1": f"model=factor_vae: gamma must be at least 0, got -1{OFF}",
    "model=vae_gan model.num_features=0": "model=vae_gan: num_features must be at least 1, got 0",
    "model=vamp_vae model.num_pseudo_inputs=0": (
        "model=vamp_vae: num_pseudo_inputs must be at least 1, got 0; for a fixed prior use "
        "model=vae"
    ),
    "model=dfc_vae model.layers=[relu9]": (
        "model=dfc_vae: layers must name layers of ConvClassifier, got relu9; there are: conv1, "
        "relu1, pool1, conv2, relu2, pool2, conv3, relu3, pool3, flatten, dense, relu4, logits"
    ),
    "model=dfc_vae model.layers=relu1": "model.layers: should be a list, got 'relu1'",
    "model=vq_vae model.num_codes=100000": (
        "model=vq_vae: num_codes must be at most 5400, the vectors of all 1350 training images, "
        "got 100000; choose a smaller model.num_codes"
    ),
    "model=vq_vae network.map_encoder.width=0": "model=vq_vae: width must be at least 1, got 0",
    "model=k_sparse_ae model.k=2000": (
        "model=k_sparse_ae: k must be from 1 to latent_dim=1000, got 2000; lower k or widen the "
        "code"
    ),
    "model=k_sparse_ae model.alpha=30": (
        "model=k_sparse_ae: alpha must keep at most latent_dim=1000 units in evaluation, got 30, "
        "which keeps 1200 with k=40; lower alpha or k, or widen the code"
    ),
    "model=k_sparse_ae model.alpha=inf": "model.alpha: should be a finite number, got inf",
    "model=sparse_ae model.sparsity=1": (
        "model=sparse_ae: sparsity must be in (0, 1), got 1; it is a mean activation, such as 0.05"
    ),
    "model=contractive_ae model.num_projections=0": (
        "model=contractive_ae: num_projections must be at least 1, got 0; null is exact"
    ),
    "model=rae model.regularizer=dropout": (
        "model.regularizer: should be 'gradient_penalty', 'l2' or 'none', got 'dropout'"
    ),
    "model=pca model.latent_dim=65": (
        "model=pca: latent_dim must be at most 64, the smaller of 64 pixels and 1350 training "
        "images, got 65; choose a smaller model.latent_dim"
    ),
    "likelihood=optimal_sigma likelihood.decay=1": (
        "likelihood.decay must be at least 0 and below 1, got 1"
    ),
    "likelihood=continuous_bernoulli likelihood.margin=0.5": (
        "likelihood.margin must be between 0 and 0.5, got 0.5"
    ),
    "likelihood=gaussian likelihood.sigma=inf": (
        "likelihood.sigma: should be a finite number, got inf"
    ),
}

CORRUPTIONS = {
    "corruption=grayscale": (
        "corruption: images must have 3 channels (red, green, blue) to lose their colours, got 1; "
        "choose another corruption or a colour dataset"
    ),
    "corruption=downsample corruption.factor=3": (
        "corruption.factor must be at least 2 and divide images of 8×8, got 3; choose one of "
        "2, 4, 8"
    ),
    "corruption=block corruption.side=1": (
        "corruption.side must be in (0, 1) and at least one pixel of images of 8×8, got 1; "
        "0.5 is a hole of 4 pixels a side"
    ),
    "corruption.probability=1.5": (
        "corruption.probability must be in [0, 1], got 1.5; 0.25 loses a quarter of the values"
    ),
    "corruption=gaussian corruption.std=-1": (
        "corruption.std must be at least 0, got -1; 0.5 is half the pixel range"
    ),
}

NETWORKS = {
    "model=unpool_ae network=dense": (
        "model=unpool_ae: network must remember where it pools (PoolEncoder and UnpoolDecoder), "
        "got DenseEncoder and DenseDecoder; choose network=unpool"
    ),
    "model=unpool_ae network.decoder.pooling=average": (
        "model=unpool_ae: network.decoder.pooling must be the encoder's, max, got average; set "
        "network.encoder.pooling alone"
    ),
    "model=vq_vae network=conv": (
        "network=conv does not fit model=vq_vae: its parts must be map_decoder and map_encoder, "
        "got decoder and encoder"
    ),
    "model=ae network=vq": (
        "network=vq does not fit model=ae: its parts must be decoder and encoder, got map_decoder "
        "and map_encoder"
    ),
    "model=factor_vae network=dense": (
        "network=dense does not fit model=factor_vae: its parts must be critic and decoder and "
        "encoder, got decoder and encoder"
    ),
    "network=resnet network.encoder.pooling=sum": (
        "network.encoder.pooling: should be 'average', 'max' or 'stride', got 'sum'"
    ),
    "network=convnet": (
        "model=vae: 4 halvings need images of at least 16 pixels a side, got 8; use fewer channels "
        "entries or a larger dataset.image_size"
    ),
    "network=burgess dataset.image_size=4": (
        "model=vae: the Burgess networks need images of at least 8 pixels a side, got 4×4; set a "
        "larger dataset.image_size"
    ),
    **{
        f"model={model} network={network} network.encoder.channels={channels}": (
            f"model={model}: channels must be one or more widths of at least 1, got {channels}; "
            "each entry halves the image"
        )
        for model, network in (("vae", "conv"), ("vae", "resnet"), ("unpool_ae", "unpool"))
        for channels in ("[]", "[0]")
    },
    "network.encoder.hidden=[-1]": (
        "model=vae: every width in network and model must be at least 1, got a negative one"
    ),
    "network.encoder.activation=relu": (
        "`network.encoder.activation`: no such key; there are: hidden; an argument that the YAML "
        "leaves out is added with +network.encoder.activation=…"
    ),
    "+network.encoder.activation=relu": (
        f"network.encoder.activation: {FACTORY}, {{_target_: …, _partial_: true}}, got 'relu'"
    ),
    "+network.encoder.activation._target_=torch.nn.Tanh": (
        f"network.encoder.activation: {FACTORY}; add +network.encoder.activation._partial_=true"
    ),
    "network=resnet dataset.batch_size=1": f"model=vae: {BATCH_NORM}",
}

GROUPS = {
    "loss=mse": "loss=mse does not fit model=vae: a VAELoss is needed, got SquaredError",
    "model=vamp_vae loss=beta_tc": (
        "model=vamp_vae: TotalCorrelationLoss is written for the prior N(0, I), and this model "
        "learns its own; choose loss=elbo, capacity or info"
    ),
    "model=adversarial_ae loss@model.adversarial=mse": (
        "loss@model.adversarial=mse does not fit model=adversarial_ae: an AdversarialLoss is "
        "needed, got SquaredError"
    ),
    "model=adversarial_ae model.adversarial=null": (
        "loss@model.adversarial=non_saturating does not fit model=adversarial_ae: an "
        "AdversarialLoss is needed, got None"
    ),
    "model=ae_gan model.autoencoder=null": (
        "model.autoencoder does not fit model=ae_gan: a factory ({_target_: …, _partial_: true}) "
        "is needed, got None"
    ),
    "model=ae_gan model.autoencoder._target_=ganvas.models.vae.vae.VAE": (
        "loss=mse does not fit the VAE of model.autoencoder: a VAELoss is needed, got SquaredError"
    ),
    "model=ae +likelihood=bernoulli": (
        "likelihood=bernoulli: model=ae takes no likelihood; leave likelihood= out, or choose a "
        "model that does"
    ),
    "model=vae +features=classifier": (
        "features=classifier: model=vae takes no features; leave features= out, or choose a model "
        "that does"
    ),
    "model=pca optimizer.lr=1": (
        "optimizer.lr=1: model=pca brings no optimizer; leave it out, choose a model that does, "
        "or, where the model takes one, add it with +optimizer=…"
    ),
    "model=iwae loss=elbo": (
        "loss=elbo: model=iwae brings no loss; leave it out, choose a model that does, or, where "
        "the model takes one, add it with +loss=elbo"
    ),
}

DATA = {
    "model=conditional_vae dataset=stl10 dataset.source.unlabelled=true": NO_LABELS,
    "model=dfc_vae dataset=stl10 dataset.source.unlabelled=true": NO_CLASSES,
    "model=pca dataset=stl10": (
        "model=pca: image_shape must have at most 4096 values, got 27648; set dataset.image_size "
        "to 36 or less"
    ),
    "dataset=sprites dataset.source.shapes=[triangle]": (
        "dataset.source.shapes: must be one or more of square, ellipse, heart, each once, got "
        "[triangle]"
    ),
    "dataset=sprites dataset.source.hues=0": "dataset.source.hues: must be at least 1, got 0",
    "dataset=sprites dataset.source.x_positions=100000": (
        "dataset.source: the factors must make at most 10,000,000 images, got 135,000,000; lower "
        "one of its counts"
    ),
    "dataset.binarization=static": (
        "dataset.binarization: must be dynamic or threshold, got 'static'; leave it null for grey "
        "pixels"
    ),
}


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        *VALUES.items(),
        *((f"model=denoising_ae {key}", message) for key, message in CORRUPTIONS.items()),
        *NETWORKS.items(),
        *GROUPS.items(),
        *DATA.items(),
    ],
)
def test_a_method_that_cannot_be_run(place: Path, overrides: str, message: str) -> None:
    said = train(*overrides.split())
    assert said.message == message
    assert (said.code, said.out) == (2, "")
    assert list(place.iterdir()) == []


@pytest.mark.parametrize(
    ("model", "message"), [("conditional_vae", NO_LABELS), ("dfc_vae", NO_CLASSES)]
)
def test_labels_asked_of_an_array_file_without_any(
    place: Path, tmp_path: Path, model: str, message: str
) -> None:
    file = tmp_path / "images.npz"
    np.savez(file, images=np.zeros((200, 8, 8, 1), dtype=np.uint8))
    said = train(f"model={model}", "dataset=arrays", f"dataset.root={file}")
    assert (said.code, said.message) == (2, message)
    assert not (place / "runs").exists()


def test_dsprites_that_are_absent(place: Path) -> None:
    said = train("dataset=dsprites")
    assert said.code == 2
    assert said.message.endswith(
        "dsprites_ndarray_co1sh3sc6or40x32y32_64x64.npz is missing; get it from the repository "
        "google-deepmind/dsprites-dataset on GitHub (it is not downloaded for you), or choose "
        "dataset=sprites"
    )
    assert list(place.iterdir()) == []


def test_a_classifier_of_images_without_labels_is_refused_before_they_are_read(place: Path) -> None:
    said = ganvas("classifier", "dataset=stl10", "dataset.source.unlabelled=true")
    assert (said.code, said.message) == (
        2,
        "dataset=stl10: a classifier needs images with labels, and these have none; choose a "
        "labelled dataset",
    )
    assert list(place.iterdir()) == []


@pytest.mark.parametrize("model", ["dip_vae", "beta_tc_vae", "info_vae", "wae", "sigma_vae"])
def test_batches_of_one_image_are_no_reason_to_refuse(place: Path, model: str) -> None:
    """The last batch of an evaluation may be one; every figure of it is finite."""
    assert train(f"model={model}", "dataset.batch_size=1", "dataset.max_train=30").code == 0
    assert (place / "runs").is_dir()


@pytest.mark.parametrize("label", [10, -1])
def test_labels_that_are_no_classes(place: Path, label: int) -> None:
    """A negative one would count from the end."""
    view = load_run(_trained_run(place)).model
    labels = torch.tensor([0, label])
    with pytest.raises(
        RunError, match=f"^y: labels must be whole numbers from 0 to 9, got {label}"
    ):
        view.sample(2, y=labels)
    with pytest.raises(RunError, match="from 0 to 9"):
        view.decode(torch.zeros(2, 20), labels)


def _trained_run(place: Path) -> Path:
    assert train("model=conditional_vae").code == 0
    return only_run(place / "runs")
