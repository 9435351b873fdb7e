"""The optimisers (AdamW alone, or Muon and AdamW), their state as tensors, and the moving average of the weights."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn

from ..backbones.transformer import Block
from .spec import TrainSpec


def decayed(module: nn.Module) -> list[str]:
    """Names of the parameters that weight decay applies to: matrices and kernels, not biases, norms or embeddings.

    A learned vector stored as (1, 1, C), such as a mask token, counts as an embedding. A module may exempt others, such
    as learned tokens stored as a matrix, by an attribute ``undecayed``: names of its own parameters and of its layers.
    """
    spared = {id(p) for m in module.modules() if isinstance(m, nn.Embedding) for p in m.parameters(recurse=False)}
    for owner in module.modules():
        exempt = tuple(getattr(owner, "undecayed", ()))
        spared |= {id(p) for name, p in owner.named_parameters() if name.startswith(tuple(f"{e}." for e in exempt))}
        spared |= {id(p) for name, p in owner.named_parameters(recurse=False) if name in exempt}
    return [
        name for name, p in module.named_parameters() if sum(size > 1 for size in p.shape) >= 2 and id(p) not in spared
    ]


def matrices(module: nn.Module) -> list[str]:
    """Names of the parameters that Muon updates: two-dimensional weights inside transformer blocks.

    Muon is made for hidden layers. AdamW updates embeddings, the layers into and out of the transformer, norms, biases,
    and the modulation by time, which starts at zero.
    """
    return [
        name
        for place, block in module.named_modules()
        if isinstance(block, Block)
        for name, p in block.named_parameters(prefix=place)
        if p.ndim == 2 and ".modulation." not in f".{name}"
    ]


def make_optimisers(module: nn.Module, spec: TrainSpec) -> list[torch.optim.Optimizer]:
    """The optimisers of a run; each trainable parameter belongs to one of them.

    AdamW (Loshchilov & Hutter 2019), with decay on ``decayed`` parameters only. With ``spec.optimiser`` ``muon``, the
    parameters in ``matrices`` are updated by Muon (Jordan et al. 2024) instead, its updates scaled to the root mean
    square of AdamW's (Liu et al. 2025, "Muon is scalable for LLM training"), so that one learning rate suits both.
    """
    trained = [(name, p) for name, p in module.named_parameters() if p.requires_grad]
    by_muon = set(matrices(module)) if spec.optimiser == "muon" else set()
    by_decay = set(decayed(module)) - by_muon
    groups = [
        {"params": [p for name, p in trained if name in by_decay], "weight_decay": spec.weight_decay},
        {"params": [p for name, p in trained if name not in by_decay | by_muon], "weight_decay": 0.0},
    ]
    optimisers: list[torch.optim.Optimizer] = []
    if groups := [g for g in groups if g["params"]]:
        optimisers.append(torch.optim.AdamW(groups, lr=spec.lr, betas=spec.betas, fused=True))
    if hidden := [p for name, p in trained if name in by_muon]:
        decay, momentum = spec.weight_decay, spec.muon_momentum
        optimisers.append(
            torch.optim.Muon(hidden, lr=spec.lr, weight_decay=decay, momentum=momentum, adjust_lr_fn="match_rms_adamw")
        )
    return optimisers


class EMA:
    """Exponential moving average of a module's parameters.

    After update n: average <- d * average + (1 - d) * weights with d = min(decay, (1 + n) / (10 + n)), so that the
    random initial weights soon have no part in it (Karras et al. 2024 discuss why; the ramp is TensorFlow's).
    """

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.decay = decay
        self._weights = dict(module.named_parameters())
        self.average = {name: p.detach().clone() for name, p in self._weights.items()}
        self._pairs = list(self.average.values()), [p.detach() for p in self._weights.values()]

    @torch.no_grad()
    def update(self, n: int) -> None:
        """Include the weights after update ``n`` (from 1)."""
        decay = min(self.decay, (1 + n) / (10 + n))
        averages, weights = self._pairs
        torch._foreach_lerp_(averages, weights, 1 - decay)

    @torch.no_grad()
    def restart(self) -> None:
        """Copy the average to the weights; the next average starts from them."""
        for name, weight in self._weights.items():
            weight.copy_(self.average[name])

    @torch.no_grad()
    def swap(self) -> None:
        """Exchange the module's weights with the average, in place; a second call undoes it."""
        for name, weight in self._weights.items():
            kept = weight.detach().clone()
            weight.copy_(self.average[name])
            self.average[name].copy_(kept)


def optimiser_tensors(module: nn.Module, optimisers: Sequence[torch.optim.Optimizer]) -> dict[str, Tensor]:
    """The optimisers' state as named tensors, ``<state>/<parameter>``; parameters never used have none."""
    return {
        f"{key}/{name}": value
        for name, p in module.named_parameters()
        for optimiser in optimisers
        for key, value in optimiser.state.get(p, {}).items()
    }


def restore_optimisers(
    module: nn.Module, optimisers: Sequence[torch.optim.Optimizer], tensors: Iterable[tuple[str, Tensor]]
) -> None:
    """Undo ``optimiser_tensors``; each tensor goes to its parameter's device, where the fused AdamW wants it."""
    parameters = dict(module.named_parameters())
    owner = {p: optimiser for optimiser in optimisers for group in optimiser.param_groups for p in group["params"]}
    for optimiser in optimisers:
        optimiser.state.clear()
    for full_name, value in tensors:
        key, _, name = full_name.partition("/")
        p = parameters[name]
        owner[p].state[p][key] = value.to(p.device, copy=True)
