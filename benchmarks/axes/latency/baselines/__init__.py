"""Peers: the same work on the same weights by other libraries, timed in turns with ours.

A peer of a paradigm takes a model of ours and has its ``generate`` with the same arguments and (but for ``gemms``), for
the same weights and noise, the same result (tests/unit/benchmarks/axes/test_peers.py). What is the peer's own differs:

    transformers   ar               MusicGen's decoder with its own KV cache; sampling is ours
    torchdiffeq    fm               the integration; the field is our network
    diffusers      mar, ntp, mntp   the head's denoising loop (DDPMScheduler) over a plain copy of our head
    gemms          fm               no peer but a floor: the matrix products of all evaluations and nothing else

@peer-dev: a class with ``own_weights`` and ``generate``, made from a model; register it here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from .....common.registry import Registry

if TYPE_CHECKING:
    from torch import Tensor

    from .....common.seeds import ItemRNG
    from .....paradigms.base import Conditions

PEERS = Registry(
    "peer",
    {
        "transformers": "paradigm_bench.benchmarks.axes.latency.baselines.musicgen:TransformersMusicgen",
        "torchdiffeq": "paradigm_bench.benchmarks.axes.latency.baselines.odeint:TorchdiffeqIntegration",
        "diffusers": "paradigm_bench.benchmarks.axes.latency.baselines.ddpm:DiffusersHead",
        "gemms": "paradigm_bench.benchmarks.axes.latency.baselines.gemms:GemmsAlone",
    },
)
_PEERS_OF = {
    "ar": ("transformers",),
    "fm": ("torchdiffeq", "gemms"),
    "mar": ("diffusers",),
    "ntp": ("diffusers",),
    "mntp": ("diffusers",),
}


class Peer(Protocol):
    """What a peer has to offer; made as ``Peer(model)``.

    Attributes:
        own_weights: whether it holds a copy of the weights beside the model's.
    """

    own_weights: ClassVar[bool]

    def generate(self, conditions: Conditions, frames: int, sampler: Any, rng: ItemRNG) -> Tensor:
        """What ``Paradigm.generate`` gives.

        Raises:
            UserError: settings that the peer has not.
        """
        ...


def peers_of(paradigm: str) -> tuple[str, ...]:
    """The names of the peers that a paradigm has."""
    return _PEERS_OF.get(paradigm, ())
