"""The section ``latency`` of a study: what is timed, and how."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, Literal

from ....common.errors import UserError
from ...study.study import AxisSettings
from .tracker.statistics import StopRule


@dataclass(frozen=True)
class LatencySettings(AxisSettings):
    """What is timed, and how; no weights and no data are needed.

    Attributes:
        batch, seconds: clips generated at once, and their length.
        frame_rate: latent frames per second; None: the latent's own.
        text_tokens: length of the (random) text.
        device: ``auto`` takes a GPU where there is one; a GPU that is asked for and absent is an error.
        dtype: ``auto`` is fp32 on the CPU and bf16 on a GPU; ``tf32`` is fp32 whose products round their factors.
        threads: of the CPU; None: one per core.
        decoder: time the latents' decoder too.
        compile: torch.compile the backbone's blocks; compiling is timed apart.
        first_audio_seconds: how much audio a streaming paradigm must have decided to count as its first.
        peers: measure the same work by other libraries too, in turns with ours.
        stop: when there are enough samples.
    """

    key: ClassVar[str] = "latency"

    batch: int = 1
    seconds: float = 10.0
    frame_rate: float | None = None
    text_tokens: int = 64
    device: Literal["auto", "cpu", "cuda"] = "auto"
    dtype: Literal["auto", "fp32", "tf32", "bf16", "fp16"] = "auto"
    threads: int | None = None
    decoder: bool = False
    compile: bool = False
    first_audio_seconds: float = 1.0
    peers: bool = False
    stop: StopRule = field(default_factory=StopRule)

    def __post_init__(self) -> None:
        for name in ("batch", "seconds", "text_tokens", "first_audio_seconds", "frame_rate", "threads"):
            value = getattr(self, name)
            if value is not None and value <= 0:
                raise UserError(f"latency.{name} is {value} but must be above 0")
