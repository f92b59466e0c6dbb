"""Base for games: a critic side and a generator side, stepped in turn by hand."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from ganvas.models.base import GenerativeModule
from ganvas.types import Batch, ImageShape, LossTerms

OptimizerFactory = Callable[[Iterable[nn.Parameter]], torch.optim.Optimizer]


class AdversarialModule(GenerativeModule):
    """Abstract: two sides, each with any number of networks and optimisers.

    Every batch trains the critic side; every `n_critic`-th batch then trains the generator side on
    the same images, against the critics as they have just become. With accumulation, a window of
    `accumulate` batches takes the place of one batch: the generator's pass runs over the whole
    window after the critic's step, so k batches of b equal one of k·b but for batch norm.

    A subclass says which networks belong to each optimiser (`critic_side`, `generator_side`; the
    names are the keys of the `optimizer` config) and what each side minimises (`critic_terms`,
    `generator_terms`). The loop is here and nowhere else.

    Args:
        image_shape: (C, H, W).
        optimizer: optimiser factory by name, one for each name of the two sides.
        n_critic: critic steps per generator step.

    Raises:
        ValueError: if n_critic is under 1.
    """

    def __init__(
        self,
        *,
        image_shape: ImageShape,
        optimizer: Mapping[str, OptimizerFactory],
        n_critic: int,
    ) -> None:
        super().__init__(image_shape=image_shape)
        if n_critic < 1:
            raise ValueError(f"n_critic must be at least 1, got {n_critic}")
        self.automatic_optimization = False
        self.optimizer_factories = dict(optimizer)
        self.n_critic = n_critic
        self.counters |= {"critic_steps": 0, "generator_steps": 0}
        self._window: list[tuple[int, Batch]] = []

    @abstractmethod
    def critic_side(self) -> Mapping[str, Sequence[nn.Module]]:
        """Networks of the critic side under the name of the optimiser that trains them."""

    @abstractmethod
    def generator_side(self) -> Mapping[str, Sequence[nn.Module]]:
        """Networks of the generator side under the name of the optimiser that trains them."""

    @abstractmethod
    def critic_terms(self, batch: Batch) -> LossTerms:
        """What the critics minimise; fakes must be made without gradient."""

    @abstractmethod
    def generator_terms(self, batch: Batch) -> LossTerms:
        """What the generators minimise; the critics' weights are frozen meanwhile."""

    def after_critic_step(self) -> None:
        """Called after each critic step (to clip weights, say)."""

    def after_generator_step(self) -> None:
        """Called after each generator step (for an average of weights, say)."""

    def networks(self) -> Mapping[str, nn.Module]:
        """All networks of both sides, named as attributes of the model."""
        trained = {id(n) for n in (*_flat(self.critic_side()), *_flat(self.generator_side()))}
        return {name: module for name, module in self.named_modules() if id(module) in trained}

    def training_step(self, batch: Batch, batch_idx: int) -> None:
        """One batch: accumulate for the critic side; at the window's end step, then the other."""
        self._window.append((self.step, batch))
        closing = len(self._window) == self.accumulate or self.trainer.is_last_batch
        with self._synchronised(closing):
            terms = self.critic_terms(batch)
            self.manual_backward(terms.total / self.accumulate)
        parts = {"critic_loss": terms.total, **terms.parts}
        if closing:
            parts["critic_gradient_norm"] = self._step_side(self.critic_side())
            self.counters["critic_steps"] += 1
            self.after_critic_step()
            if self.counters["critic_steps"] % self.n_critic == 0:
                parts |= self._generator_pass()
            self._window = []
        self.advance(batch, parts)

    def _generator_pass(self) -> dict[str, Tensor]:
        """Gradients over the window's batches with the critics frozen, then one step."""
        sums: dict[str, Tensor] = {}
        now = self.step
        with frozen(_flat(self.critic_side())):
            for i, (step, batch) in enumerate(self._window, start=1):
                self.counters["step"] = step  # the noise of that batch, not of the last one
                with self._synchronised(i == len(self._window)):
                    terms = self.generator_terms(batch)
                    self.manual_backward(terms.total / self.accumulate)
                for name, part in {"generator_loss": terms.total, **terms.parts}.items():
                    sums[name] = sums.get(name, 0.0) + part.detach() / len(self._window)
        self.counters["step"] = now
        sums["generator_gradient_norm"] = self._step_side(self.generator_side())
        self.counters["generator_steps"] += 1
        self.after_generator_step()
        return sums

    def _step_side(self, side: Mapping[str, Sequence[nn.Module]]) -> Tensor:
        """One step of each optimiser of a side; the norm of all its gradients, before clipping."""
        norm = gradient_norm(_flat(side)) / self._gradient_scale()
        optimizers = dict(zip(self.optimizer_names, self._optimizers(), strict=True))
        for name in side:
            optimizers[name].step()
            optimizers[name].zero_grad()
        return norm

    def _gradient_scale(self) -> float:
        """What the scaler of `16-mixed` has multiplied the loss by."""
        scaler = getattr(self.trainer.precision_plugin, "scaler", None)
        return 1.0 if scaler is None else scaler.get_scale()

    def _optimizers(self) -> list[Any]:
        optimizers = self.optimizers()
        return optimizers if isinstance(optimizers, list) else [optimizers]

    @contextmanager
    def _synchronised(self, wanted: bool) -> Iterator[None]:
        """Ranks exchange gradients only in the last backward pass of a window."""
        wrapped: Any = self.trainer.strategy.model
        with nullcontext() if wanted or self.trainer.world_size == 1 else wrapped.no_sync():
            yield

    @property
    def optimizer_names(self) -> list[str]:
        """Names of the optimisers, in the order in which Lightning keeps them."""
        return [*self.critic_side(), *self.generator_side()]

    def configure_optimizers(self) -> Any:
        """One optimiser for each name of the two sides."""
        sides = {**self.critic_side(), **self.generator_side()}
        return [
            self.optimizer_factories[name]([p for m in modules for p in m.parameters()])
            for name, modules in sides.items()
        ]

    def evaluation_parts(self, batch: Batch) -> Mapping[str, Tensor]:
        """Both sides' losses without a step."""
        critic, generator = self.critic_terms(batch), self.generator_terms(batch)
        return {
            "critic_loss": critic.total,
            **critic.parts,
            "generator_loss": generator.total,
            **generator.parts,
        }

    def training_parts(self, batch: Batch) -> Mapping[str, Tensor]:
        """As in evaluation."""
        return self.evaluation_parts(batch)


def _flat(side: Mapping[str, Sequence[nn.Module]]) -> list[nn.Module]:
    return [module for modules in side.values() for module in modules]


def gradient_norm(modules: Iterable[nn.Module]) -> Tensor:
    """√(Σ g²) over all weights that have a gradient; 0 where none has."""
    gradients = [p.grad for m in modules for p in m.parameters() if p.grad is not None]
    norms = torch._foreach_norm(gradients) if gradients else [torch.zeros(())]
    return torch.linalg.vector_norm(torch.stack(list(norms)))


@contextmanager
def frozen(modules: Iterable[nn.Module]) -> Iterator[None]:
    """No gradients for these modules' weights inside; activations still pass gradients on."""
    parameters = [p for module in modules for p in module.parameters() if p.requires_grad]
    for parameter in parameters:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in parameters:
            parameter.requires_grad_(True)
