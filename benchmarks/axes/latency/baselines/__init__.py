"""Baselines: the same work on the same weights by other libraries, timed in turns with ours.

A baseline of a paradigm is made from a model of ours. Its ``generate`` takes the same arguments and returns, except for
``gemms``, the same result for the same weights and noise (tests/unit/benchmarks/axes/test_baselines.py). Records and
studies call baselines ``peers``. What they do themselves:

    transformers   ar               MusicGen's decoder with its own KV cache; sampling is ours
    torchdiffeq    fm               the integration; the field is our network
    diffusers      mar, ntp, mntp   the head's denoising loop (DDPMScheduler) over a plain copy of our head
    gemms          fm               a floor: the matrix products of all evaluations and nothing else

To add one, write a class with ``own_weights`` and ``generate`` that is made from a model, and register it here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from .....common.registry import Registry

if TYPE_CHECKING:
    from torch import Tensor

    from .....common.seeds import ItemRNG
    from .....paradigms.base import Conditions

BASELINES = Registry(
    "peer",
    {
        "transformers": "paradigm_bench.benchmarks.axes.latency.baselines.musicgen:TransformersMusicgen",
        "torchdiffeq": "paradigm_bench.benchmarks.axes.latency.baselines.odeint:TorchdiffeqIntegration",
        "diffusers": "paradigm_bench.benchmarks.axes.latency.baselines.ddpm:DiffusersHead",
        "gemms": "paradigm_bench.benchmarks.axes.latency.baselines.gemms:GemmsAlone",
    },
)
_BASELINES_OF = {
    "ar": ("transformers",),
    "fm": ("torchdiffeq", "gemms"),
    "mar": ("diffusers",),
    "ntp": ("diffusers",),
    "mntp": ("diffusers",),
}


class Baseline(Protocol):
    """The interface of a baseline, which is made as ``Baseline(model)``.

    Attributes:
        own_weights: whether it holds a copy of the weights beside the model's.
    """

    own_weights: ClassVar[bool]

    def generate(self, conditions: Conditions, frames: int, sampler: Any, rng: ItemRNG) -> Tensor:
        """The result of ``Paradigm.generate``.

        Raises:
            UserError: settings that the library does not have.
        """
        ...


def baselines_of(paradigm: str) -> tuple[str, ...]:
    """The names of the baselines of a paradigm."""
    return _BASELINES_OF.get(paradigm, ())
