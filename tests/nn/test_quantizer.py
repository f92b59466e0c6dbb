"""The quantiser: nearest codes, straight-through gradient, moving averages, restarts, usage."""

from __future__ import annotations

import threading
from typing import Any

import pytest
import torch

from ganvas.nn.gather import gathered
from ganvas.nn.quantizer import Quantizer, perplexity, straight_through, usage


def quantizer(*, num: int = 6, dim: int = 3, threshold: float = 0.0, **values: Any) -> Quantizer:
    torch.manual_seed(0)
    given = {"decay": 0.9, "epsilon": 1e-5} | values
    return Quantizer(num_codes=num, code_dim=dim, restart_threshold=threshold, **given)


def maps(batch: int = 4, *, dim: int = 3, seed: int = 1) -> torch.Tensor:
    return torch.randn(batch, dim, 2, 3, generator=torch.Generator().manual_seed(seed))


def scores(z: torch.Tensor, *, seed: int = 2) -> torch.Tensor:
    size = (len(z), *z.shape[2:])
    return torch.randn(size, generator=torch.Generator().manual_seed(seed))


def test_each_vector_gets_the_nearest_code() -> None:
    part, z = quantizer(), maps()
    indices = part(z)
    assert indices.shape == (4, 2, 3)
    codes = part.lookup(indices)
    assert codes.shape == z.shape
    for b in range(4):
        for i in range(2):
            for j in range(3):
                distances = (part.codebook - z[b, :, i, j]).square().sum(1)
                assert indices[b, i, j] == distances.argmin()
                assert torch.equal(codes[b, :, i, j], part.codebook[indices[b, i, j]])


def test_codes_are_quantised_to_themselves() -> None:
    part = quantizer()
    indices = torch.arange(6).view(1, 2, 3)
    assert torch.equal(part(part.lookup(indices)), indices)


def test_the_gradient_passes_the_quantiser_untouched() -> None:
    part, z = quantizer(), maps().requires_grad_()
    codes = part.lookup(part(z))
    weights = maps(seed=3)

    def after(q: torch.Tensor) -> torch.Tensor:
        return (weights * q.square()).sum()

    value = straight_through(z, codes)
    torch.testing.assert_close(value, codes)
    (got,) = torch.autograd.grad(after(value), z)
    quantised = codes.clone().requires_grad_()
    (wanted,) = torch.autograd.grad(after(quantised), quantised)
    torch.testing.assert_close(got, wanted)
    (of_z,) = torch.autograd.grad(after(z), z)
    assert not torch.allclose(got, of_z)


@pytest.mark.parametrize("epsilon", [1e-5, 0.5])
def test_the_codebook_moves_as_computed_by_hand(epsilon: float) -> None:
    part, z = quantizer(epsilon=epsilon), maps()
    size, total = part.cluster_size.clone(), part.cluster_sum.clone()
    for seed in (1, 5):
        z = maps(seed=seed)
        indices = part(z)
        part.update(z, indices, scores=scores(z))
        vectors = z.permute(0, 2, 3, 1).reshape(-1, 3)
        for i in range(6):
            mine = vectors[indices.flatten() == i]
            size[i] = 0.9 * size[i] + 0.1 * len(mine)
            total[i] = 0.9 * total[i] + 0.1 * mine.sum(0)
        whole = size.sum()
        smoothed = (size + epsilon) / (whole + 6 * epsilon) * whole
        torch.testing.assert_close(part.cluster_size, size)
        torch.testing.assert_close(part.codebook, total / smoothed[:, None])


def test_a_codebook_of_means_stays_there() -> None:
    part = quantizer(num=2, dim=1, decay=0.5)
    part.codebook.copy_(torch.tensor([[-1.0], [1.0]]))
    z = torch.tensor([-1.5, -0.5, 0.5, 1.5]).view(1, 1, 2, 2)
    for _ in range(40):
        part.update(z, part(z), scores=torch.zeros(1, 2, 2))
    torch.testing.assert_close(part.codebook, torch.tensor([[-1.0], [1.0]]), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(part.cluster_size, torch.tensor([2.0, 2.0]))


def test_dead_codes_begin_anew_at_vectors_of_the_batch() -> None:
    part, z = quantizer(num=5, threshold=1.0), maps()
    part.codebook[2:] += 100
    part.cluster_size[:2] = 30.0
    alive = part.codebook[:2].clone()
    indices, drawn = part(z), scores(z)
    assert indices.max() < 2
    part.update(z, indices, scores=drawn)
    vectors = z.permute(0, 2, 3, 1).reshape(-1, 3)
    best = drawn.flatten().argsort(descending=True)[:3]
    torch.testing.assert_close(part.codebook[2:], vectors[best])
    assert torch.equal(part.cluster_size[2:], torch.ones(3))
    assert not any((part.codebook[i] == vectors).all(1).any() for i in range(2))
    assert (part.codebook[:2] - alive).abs().max() < 10
    assert len(part(z).unique()) == 5  # the restarted are used at once


def test_a_code_that_is_used_as_often_as_the_threshold_says_lives() -> None:
    part = quantizer(num=2, dim=1, threshold=1.0, decay=0.5)
    part.codebook.copy_(torch.tensor([[-1.0], [1.0]]))
    part.cluster_sum.copy_(part.codebook)
    z = torch.tensor([-1.2, 1.2]).view(1, 1, 1, 2)
    part.update(z, part(z), scores=torch.zeros(1, 1, 2))
    assert torch.equal(part.cluster_size, torch.ones(2))
    torch.testing.assert_close(part.codebook, torch.tensor([[-1.1], [1.1]]), rtol=1e-4, atol=0)


def test_without_a_threshold_dead_codes_stay_dead() -> None:
    part, z = quantizer(num=5), maps()
    part.codebook[2:] += 100
    part.cluster_sum[2:] += 100
    for _ in range(3):
        part.update(z, part(z), scores=scores(z))
    assert len(part(z).unique()) <= 2


def test_more_dead_codes_than_vectors_take_turns() -> None:
    part = quantizer(num=7, threshold=5.0)
    z = maps(1)[:, :, :1, :2]
    part.update(z, part(z), scores=torch.tensor([[[0.0, 1.0]]]))
    first, second = z[0, :, 0, 1], z[0, :, 0, 0]
    wanted = torch.stack([first, second, first, second, first, second, first])
    assert torch.equal(part.codebook, wanted)


def test_only_the_scores_decide_where_codes_restart() -> None:
    def after(seed: int, global_seed: int) -> torch.Tensor:
        part, z = quantizer(num=8, threshold=4.0), maps()
        torch.manual_seed(global_seed)
        part.update(z, part(z), scores=scores(z, seed=seed))
        return part.codebook

    assert torch.equal(after(1, 1), after(1, 2))
    assert not torch.equal(after(1, 1), after(3, 1))


def test_perplexity_counts_the_codes_in_use() -> None:
    assert perplexity(torch.full((8,), 3.0)).item() == pytest.approx(8)
    assert perplexity(torch.tensor([0.0, 12.0, 0.0])).item() == pytest.approx(1)
    assert perplexity(torch.tensor([5.0, 5.0, 0.0])).item() == pytest.approx(2)
    assert 1 < perplexity(torch.tensor([9.0, 1.0])).item() < 2
    assert usage(torch.tensor([[0, 2], [2, 2]]), num_codes=4).tolist() == [1, 0, 3, 0]


class TwoRanks:
    """Two threads that stand for two processes: `all_gather` waits for both."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.parts: list[torch.Tensor | None] = [None, None]
        self.barrier = threading.Barrier(2, timeout=20)
        self.local = threading.local()
        monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
        monkeypatch.setattr(torch.distributed, "get_world_size", lambda: 2)
        monkeypatch.setattr(torch.distributed, "all_gather", self.all_gather)

    def all_gather(self, out: list[torch.Tensor], mine: torch.Tensor) -> None:
        self.parts[self.local.rank] = mine
        self.barrier.wait()
        for place, part in zip(out, self.parts, strict=True):
            place.copy_(part)
        self.barrier.wait()

    def run(self, work: Any) -> None:
        def of(rank: int) -> None:
            self.local.rank = rank
            work(rank)

        threads = [threading.Thread(target=of, args=(rank,)) for rank in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()


def test_what_is_gathered_is_the_global_batch_in_its_order(monkeypatch: pytest.MonkeyPatch) -> None:
    x, got = torch.arange(12.0).view(6, 2).requires_grad_(), {}

    def work(rank: int) -> None:
        got[rank] = gathered(x[3 * rank : 3 * rank + 3])

    TwoRanks(monkeypatch).run(work)
    assert all(torch.equal(got[rank], x) and not got[rank].requires_grad for rank in (0, 1))


def test_two_ranks_move_the_codebook_as_one_does(monkeypatch: pytest.MonkeyPatch) -> None:
    z = maps(6)
    drawn = scores(z)
    whole = quantizer(num=8, threshold=2.0)
    start = whole.codebook.clone()
    whole.update(z, whole(z), scores=drawn)
    ranks = [quantizer(num=8, threshold=2.0) for _ in range(2)]

    def work(rank: int) -> None:
        mine = slice(3 * rank, 3 * rank + 3)
        ranks[rank].update(z[mine], ranks[rank](z[mine]), scores=drawn[mine])

    TwoRanks(monkeypatch).run(work)
    for part in ranks:
        assert all(torch.equal(b, dict(part.named_buffers())[n]) for n, b in whole.named_buffers())
    assert not torch.equal(whole.codebook, start)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"num": 0}, "num_codes must be at least 1, got 0"),
        ({"dim": 0}, "code_dim must be at least 1, got 0"),
        ({"decay": 1.0}, r"decay must be in \[0, 1\), got 1.0"),
        ({"epsilon": 0.0}, "epsilon must be positive, got 0.0"),
        ({"threshold": -1.0}, "restart_threshold must be at least 0, got -1.0"),
    ],
)
def test_values_out_of_range_are_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        quantizer(**values)
