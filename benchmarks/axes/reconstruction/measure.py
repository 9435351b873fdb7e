"""Measures the cells of one representation, or the references."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from scipy.signal import resample_poly

from ....common.seeds import seed_for
from ....corpora.audio import kept_format, write_audio
from ....representations import Representation, load_representation
from ....representations.base import fit_length
from ...evaluators.audio import one_thread
from ...metrics import reconstruction as metrics
from ...study.axis import Context, Measurement
from ...study.cells import Cell
from ...study.references import as_loud_noise
from ..control.measure import ControlScorer
from ..eval_set import beginnings, make_eval_set
from ..scoring import Scored, item_scores, joined, score
from . import cells as sources
from .config import VIEWS, ReconstructionConfig, RepresentationView


class ReconstructionGroup:
    """The clips, and one representation or none."""

    def __init__(self, cells: Sequence[Cell], context: Context) -> None:
        how, configs, self.context = cells[0].how, [cell.read(ReconstructionConfig) for cell in cells], context
        corpus, evaluators = sources.open_sources(how)
        self.evaluation = configs[0].evaluation
        self.eval_set = make_eval_set(self.evaluation, evaluators, corpus)
        self.controls = ControlScorer(self.eval_set, how["extractors"], ())
        coded = any(config.representation is not None for config in configs)
        self.representation = load_representation(how["representation"]) if coded else None

    def measure(self, cell: Cell) -> Measurement:
        """Make the audio of a cell and score it."""
        begun, config = time.perf_counter(), cell.read(ReconstructionConfig)
        timing: dict[str, float] = {}
        if self.representation is None or config.representation is None:
            audio_BN = self._reference(config)
        else:
            audio_BN, timing = self._coded(self.representation, config.representation)
        made = joined(score(audio_BN, self.eval_set), self.controls.score(audio_BN))
        values, items, details = joined(made, self._compared(audio_BN))
        timing["measuring_seconds"] = time.perf_counter() - begun
        return Measurement(
            metrics=values,
            items=items,
            timing={name: round(value, 5) for name, value in timing.items()},
            artefacts=self._keep(cell, audio_BN),
            environment={"scoring": details},
        )

    def _reference(self, config: ReconstructionConfig) -> np.ndarray:
        """The audio of a floor or ceiling, (B, N)."""
        real_BN = self.eval_set.prompt_audio_BN
        if config.reference == "noise":
            return as_loud_noise(real_BN, seed_for(config.seed, "noise"))
        return np.zeros_like(real_BN) if config.reference == "silence" else real_BN

    def _coded(self, codec: Representation, wanted: RepresentationView) -> tuple[np.ndarray, dict[str, float]]:
        """The clips through a representation at its own rate, then at the rate of the scores (B, N); and seconds."""
        seconds, rate = self.evaluation.seconds, codec.spec.sample_rate
        to, samples = self.eval_set.sample_rate, self.eval_set.prompt_audio_BN.shape[1]
        wav_BN = beginnings(self.eval_set.prompts, rate, round(seconds * rate))
        quantised = wanted.view == VIEWS[1]
        made, taken = [], np.zeros(2)
        with one_thread():
            coded(codec, wav_BN[:1], quantised)  # the first call, which sets things up, is not timed
        for i in range(len(wav_BN)):
            with one_thread():  # further threads would spend processor time on waiting
                decoded_1N, spent = coded(codec, wav_BN[i : i + 1], quantised)
            made.append(resampled(decoded_1N[0], rate, to, samples))
            taken += spent
            self.context.report((i + 1) / len(wav_BN), "coding")
        encoding, decoding = taken / len(wav_BN)
        return np.stack(made), {
            "encoding_seconds_per_clip": encoding,
            "decoding_seconds_per_clip": decoding,
            "real_time_factor": (encoding + decoding) / seconds,
        }

    def _compared(self, audio_BN: np.ndarray) -> Scored:
        """Each clip compared with its original; by ViSQOL only if it is installed."""
        rate, pairs = self.eval_set.sample_rate, list(zip(self.eval_set.prompt_audio_BN, audio_BN))
        columns = {
            "si_snr": [metrics.si_snr(x_N, y_N) for x_N, y_N in pairs],
            "log_msd": [metrics.log_msd(x_N, y_N, rate) for x_N, y_N in pairs],
            "log_mel_distance": [metrics.log_mel_distance(x_N, y_N, rate) for x_N, y_N in pairs],
        }
        if self.evaluation.visqol:
            columns["visqol"] = [metrics.visqol(x_N, y_N, rate) if y_N.any() else math.nan for x_N, y_N in pairs]
        details = {"visqol": metrics.visqol_missing() or "visqol-python, audio mode"}
        return item_scores({name: np.array(values) for name, values in columns.items()}, self.eval_set.prompts, details)

    def _keep(self, cell: Cell, audio_BN: np.ndarray) -> dict[str, str]:
        """Write the first clips to files; returns names of artefacts -> files in the results folder."""
        kept: dict[str, str] = {}
        for clip, audio_N in zip(self.eval_set.prompts[: cell.how["keep_audio"]], audio_BN):
            prompt = clip.id.replace("/", "_")
            kept[f"audio/{prompt}"] = f"audio/{cell.id}-{prompt}{kept_format()}"
            write_audio(self.context.results / kept[f"audio/{prompt}"], audio_N, self.eval_set.sample_rate)
        return kept


def coded(representation: Representation, wav_BN: np.ndarray, quantised: bool) -> tuple[np.ndarray, list[float]]:
    """Waveforms (B, N) at the representation's rate, encoded and decoded; and the processor seconds of each step."""
    with torch.no_grad():
        begun = time.process_time()
        z: Any = representation.encode(torch.from_numpy(wav_BN))
        if quantised:
            z = representation.quantise(z)
        encoded = time.process_time()
        decoded_BN = representation.decode(representation.dequantise(z) if quantised else z)
        done = time.process_time()
    return fit_length(decoded_BN, wav_BN.shape[1]).clamp(-1, 1).numpy(), [encoded - begun, done - encoded]


def resampled(audio_N: np.ndarray, rate: int, to: int, samples: int) -> np.ndarray:
    """A waveform of ``rate`` Hz at ``to`` Hz, cut or zero-padded to ``samples``."""
    common = math.gcd(rate, to)
    if rate != to:
        audio_N = resample_poly(audio_N, to // common, rate // common)
    return np.pad(audio_N[:samples], (0, max(0, samples - len(audio_N)))).astype(np.float32)
