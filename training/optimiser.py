"""AdamW's parameter groups and the moving average of the weights."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from training.spec import TrainSpec


def decayed(module: nn.Module) -> list[str]:
    """Names of the parameters that weight decay applies to: matrices and kernels, not biases, norms or embeddings.

    A learned vector stored as (1, 1, C), such as a mask token, counts as an embedding.
    """
    tables = {id(p) for m in module.modules() if isinstance(m, nn.Embedding) for p in m.parameters(recurse=False)}
    return [
        name for name, p in module.named_parameters() if sum(size > 1 for size in p.shape) >= 2 and id(p) not in tables
    ]


def adamw(module: nn.Module, spec: TrainSpec) -> torch.optim.AdamW:
    """AdamW (Loshchilov & Hutter 2019) with decay on ``decayed`` parameters only; frozen parameters are left out."""
    chosen = set(decayed(module))
    trained = [(name, p) for name, p in module.named_parameters() if p.requires_grad]
    groups = [
        {"params": [p for name, p in trained if name in chosen], "weight_decay": spec.weight_decay},
        {"params": [p for name, p in trained if name not in chosen], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW([g for g in groups if g["params"]], lr=spec.lr, betas=spec.betas, fused=True)


class EMA:
    """Exponential moving average of a module's parameters.

    After update n: average <- d * average + (1 - d) * weights with d = min(decay, (1 + n) / (10 + n)), so that the
    random initial weights are forgotten early (Karras et al. 2024 discuss why; the ramp is TensorFlow's).
    """

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.decay = decay
        self._weights = dict(module.named_parameters())
        self.average = {name: p.detach().clone() for name, p in self._weights.items()}
        self._pairs = list(self.average.values()), [p.detach() for p in self._weights.values()]

    @torch.no_grad()
    def update(self, n: int) -> None:
        """Take in the weights after update ``n`` (from 1)."""
        decay = min(self.decay, (1 + n) / (10 + n))
        averages, weights = self._pairs
        torch._foreach_lerp_(averages, weights, 1 - decay)

    @torch.no_grad()
    def restart(self) -> None:
        """Put the average in the weights' place, and begin a new one there."""
        for name, weight in self._weights.items():
            weight.copy_(self.average[name])

    @torch.no_grad()
    def swap(self) -> None:
        """Exchange the module's weights with the average, in place; a second call undoes it."""
        for name, weight in self._weights.items():
            kept = weight.detach().clone()
            weight.copy_(self.average[name])
            self.average[name].copy_(kept)


def optimiser_tensors(module: nn.Module, optimiser: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The optimiser's state as named tensors, ``<state>/<parameter>``; parameters never used have none."""
    return {
        f"{key}/{name}": value
        for name, p in module.named_parameters()
        for key, value in optimiser.state.get(p, {}).items()
    }


def restore_optimiser(
    module: nn.Module, optimiser: torch.optim.Optimizer, tensors: Iterable[tuple[str, Tensor]]
) -> None:
    """Undo ``optimiser_tensors``; each tensor goes to its parameter's device, where the fused AdamW wants it."""
    parameters = dict(module.named_parameters())
    optimiser.state.clear()
    for full_name, value in tensors:
        key, _, name = full_name.partition("/")
        p = parameters[name]
        optimiser.state[p][key] = value.to(p.device, copy=True)
