"""The loss balancer of EnCodec (Défossez et al. 2022, section 3.4, equations 4 and 5).

Losses of very different gradients meet at the decoder's output. Each one's gradient there, g_i, is divided by a
moving average of its own norm, so that its weight says which share of the whole it has, whatever its scale:

    g = R * sum_i (lambda_i / sum_j lambda_j) * g_i / <|g_i|>

with <.> an exponential moving average (decay 0.999, corrected for its start), the norm taken per item and averaged over
the batch, and R = 1. The sum g is what the model's backward pass starts from.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

TINY = 1e-12


class Balancer:
    """Balances losses by ``weights``; its state is two numbers per loss.

    Args:
        weights: lambda of every loss; those of weight 0 are left out.
        total: R.
        decay: of the moving averages.
    """

    def __init__(self, weights: Mapping[str, float], total: float = 1.0, decay: float = 0.999) -> None:
        self.weights = {name: weight for name, weight in weights.items() if weight > 0}
        self.total, self.decay = total, decay
        self.sums: dict[str, float] = {}
        self.count = 0.0

    def gradient(self, losses: Mapping[str, Tensor], output: Tensor) -> Tensor:
        """The balanced gradient with respect to ``output`` (B, ...), from scalar losses that depend on it."""
        gradients = gradients_at(output, {name: losses[name] for name in self.weights})
        self.count = self.decay * self.count + 1
        balanced = torch.zeros_like(output)
        for name, gradient in gradients.items():
            norm = gradient.flatten(1).norm(dim=1).mean().item()
            self.sums[name] = self.decay * self.sums.get(name, 0.0) + norm
            share = self.weights[name] / sum(self.weights.values())
            balanced += self.total * share / (self.sums[name] / self.count + TINY) * gradient
        return balanced

    def state(self) -> dict[str, object]:
        """JSON-ready."""
        return {"sums": dict(self.sums), "count": self.count}

    def restore(self, state: Mapping[str, object]) -> None:
        """Go on from ``state``."""
        self.sums, self.count = dict(state["sums"]), float(state["count"])  # type: ignore[arg-type, call-overload]


def gradients_at(output: Tensor, losses: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Each loss's gradient with respect to ``output``; the graph stays for what follows."""
    return {name: torch.autograd.grad(loss, output, retain_graph=True)[0] for name, loss in losses.items()}
