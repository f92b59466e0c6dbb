"""What follows a hidden layer."""

from __future__ import annotations

import re

import pytest
import torch
from torch import nn

from ganvas.nn.hidden import at_least_one, dropout_layers, following


def test_the_order_is_norm_activation_dropout() -> None:
    layers = following(3, norm=nn.BatchNorm1d, activation=nn.ReLU, dropout=0.5)
    assert [type(m) for m in layers] == [nn.BatchNorm1d, nn.ReLU, nn.Dropout]
    assert layers[0].num_features == 3
    assert [type(m) for m in following(3, norm=None, activation=nn.ReLU)] == [nn.ReLU]


def test_dropout_takes_its_share_in_training_alone() -> None:
    torch.manual_seed(0)
    (layer,) = dropout_layers(0.4)
    kept = (layer(torch.ones(20000)) != 0).float().mean()
    assert abs(kept - 0.6) < 5 * (0.24 / 20000) ** 0.5
    assert layer.eval()(torch.ones(5)).tolist() == [1.0] * 5


@pytest.mark.parametrize("dropout", [-0.1, 1.0, 2.0])
def test_a_share_outside_is_refused(dropout: float) -> None:
    message = f"dropout must be at least 0 and below 1, got {dropout}; 0 is none"
    with pytest.raises(ValueError, match=re.escape(message)):
        dropout_layers(dropout)


def test_counts_start_at_one() -> None:
    at_least_one(width=1, blocks=2)
    with pytest.raises(ValueError, match=r"^blocks must be at least 1, got 0$"):
        at_least_one(width=1, blocks=0)
