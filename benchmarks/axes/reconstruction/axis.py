"""Reconstruction: what a representation loses of a clip before any model is trained on it.

Real clips go through encoder and decoder and, where there are codebooks, also through the quantiser; the two views are
separate systems. (papers/002, appendix B reports the unquantised view only, which is not what a token model decodes,
X24.) The decoded clip is compared with the original (SI-SNR, ViSQOL, log-MSD, log-mel distance); all clips are compared
as a set (the evaluator's distances, as on the fidelity axis); and chords, beats and melody that extractors detect in
the decoded clip are compared with the clip's annotation, as on the control axis. The row ``real`` scores the clips
themselves, so it shows the errors of the extractors; ``noise`` and ``silence`` are the floors.

A study sweeps over ``representation``; rows without one are measured once. All are judged at one sample rate. Times
are not metrics here, because they vary from run to run: a record's ``timing`` holds the processor seconds of encoding
and decoding, one clip at a time, and their share of the clip's length.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ....common.config import from_dict, to_dict
from ....common.errors import UserError
from ...study.axis import Context, Estimate, Measurement
from ...study.cells import Cell
from ...study.study import CorpusChoice, Study

if TYPE_CHECKING:
    from ....corpora import Corpus
    from ....representations import LatentSpec, Representation
    from ...evaluators import Evaluator
    from ..scoring import Scored

VERSION = 1  # to be raised when the protocol or the meaning of a metric changes, which makes all cells new
REFERENCES = ("real", "noise", "silence")
VIEWS = ("continuous", "quantised")


class Reconstruction:
    """The axis; see the module's docstring."""

    default_study = "reconstruction"
    exclusive = False

    def expand(self, study: Study) -> list[Cell]:
        """Floors and ceiling, then the views of the study's representation."""
        return expand(study)

    def estimate(self, cells: Sequence[Cell], results: Path) -> tuple[dict[str, Estimate], str]:
        """What earlier records of the same cells took, else the published records for as much audio."""
        from ..scoring_estimate import estimate

        return estimate(cells, results)

    def prepare(self, cells: Sequence[Cell], context: Context) -> None:
        """Nothing is shared between groups."""

    def open(self, cells: Sequence[Cell], context: Context) -> ReconstructionGroup:
        """Load clips, evaluator, extractors and the representation."""
        return ReconstructionGroup(cells, context)


def expand(study: Study) -> list[Cell]:
    """The cells of one representation, and the rows that need none.

    Raises:
        UserError: an unknown representation, evaluator or extractor; too few clips; no reference of this axis.
    """
    from ....corpora.extractors import load_extractor
    from ....representations import load_representation
    from ...metrics.reconstruction import visqol_missing
    from ..fidelity.cells import prompts_of

    known = [name for name in study.evaluation.references if name in REFERENCES]
    if not known:
        raise UserError(f"{study.name}: evaluation.references has none of {', '.join(REFERENCES)}; name at least one")
    corpus, listener = _open(to_dict(study.corpus), study.evaluation.evaluator)
    controls = study.controls
    extractors = {"chords": controls.chords, "melody": controls.melody, "beats": controls.beats}
    shared = {
        "axis": "reconstruction",
        "version": VERSION,
        "data": {"corpus": {"name": corpus.name, "fingerprint": corpus.fingerprint}},
        "evaluation": {
            "split": study.evaluation.split,
            "prompts": prompts_of(study, corpus),
            "seconds": study.train.seconds,
            "sample_rate": study.reconstruction.sample_rate,
            "evaluator": {"name": listener.name, "identity": listener.identity},
            "heard_by": {kind: load_extractor(kind, name).name for kind, name in extractors.items()},
            "visqol": not visqol_missing(),
        },
    }
    how = {
        "corpus": to_dict(study.corpus), "evaluator": study.evaluation.evaluator, "extractors": extractors,
        "representation": study.representation, "keep_audio": study.evaluation.keep_audio,
    }  # fmt: skip
    cells = [_cell(name, "references", {**shared, "reference": name}, how) for name in known]
    latents = load_representation(study.representation)
    for view in VIEWS if latents.spec.codebooks else VIEWS[:1]:
        about = {"fingerprint": latents.fingerprint, "view": view, **facts(latents.spec, view)}
        name = f"{latents.spec.name}, {view}"
        cells.append(_cell(name, f"latents-{latents.fingerprint}", {**shared, "representation": about}, how))
    return cells


def facts(spec: LatentSpec, view: str) -> dict[str, Any]:
    """What a view of a representation costs a model: frames per second and what a frame holds."""
    found = {"name": spec.name, "sample_rate": spec.sample_rate, "frame_rate_hz": spec.frame_rate_hz}
    if view == "continuous":
        return {**found, "channels": spec.dim, "numbers_per_second": spec.dim * spec.frame_rate_hz}
    bits = spec.codebooks * math.log2(spec.cardinality) * spec.frame_rate_hz
    return {**found, "codebooks": spec.codebooks, "cardinality": spec.cardinality, "bits_per_second": round(bits, 3)}


def _cell(system: str, group: str, config: dict[str, Any], how: dict[str, Any]) -> Cell:
    return Cell("reconstruction", system, "reference", 0, None, f"reconstruction-{group}", {**config, "seed": 0}, how)


def _open(corpus: dict[str, Any], evaluator: str) -> tuple[Corpus, Evaluator]:
    """The corpus, and an evaluator that was not trained on any representation, so that it is the same for all."""
    from ....paradigms.pipeline import open_corpus
    from ...evaluators import get_evaluator

    found = open_corpus(from_dict(CorpusChoice, corpus, "corpus"))
    if Path(evaluator).is_dir():
        return found, get_evaluator("builtin", folder=Path(evaluator))
    return found, get_evaluator(evaluator, corpus=found, representation=None)


class ReconstructionGroup:
    """The clips, and one representation or none."""

    def __init__(self, cells: Sequence[Cell], context: Context) -> None:
        from ....representations import load_representation
        from ..control.scoring import Tagger
        from ..eval_set import make_eval_set

        how, self.evaluation, self.context = cells[0].how, cells[0].config["evaluation"], context
        corpus, listener = _open(how["corpus"], how["evaluator"])
        self.eval_set = make_eval_set(self.evaluation, listener, corpus)
        self.listener = Tagger(self.eval_set, how["extractors"], ())
        coded = any("representation" in cell.config for cell in cells)
        self.representation = load_representation(how["representation"]) if coded else None

    def measure(self, cell: Cell) -> Measurement:
        """Make what a listener gets of every clip, and score it."""
        from ..scoring import joined, score

        begun = time.perf_counter()
        audio_BN, timing = self._reference(cell) if self.representation is None else self._coded(cell)
        made = joined(score(audio_BN, self.eval_set), self.listener.score(audio_BN))
        metrics, items, basis = joined(made, self._kept(audio_BN))
        timing["measuring_seconds"] = time.perf_counter() - begun
        return Measurement(
            metrics=metrics,
            items=items,
            timing={name: round(value, 5) for name, value in timing.items()},
            artefacts=self._keep(cell, audio_BN),
            environment={"scoring": basis},
        )

    def _reference(self, cell: Cell) -> tuple[np.ndarray, dict[str, float]]:
        from ....common.seeds import seed_for
        from ...study.references import as_loud_noise

        real_BN = self.eval_set.prompt_audio_BN
        if cell.config["reference"] == "noise":
            return as_loud_noise(real_BN, seed_for(cell.seed, "noise")), {}
        return (np.zeros_like(real_BN) if cell.config["reference"] == "silence" else real_BN), {}

    def _coded(self, cell: Cell) -> tuple[np.ndarray, dict[str, float]]:
        """The clips through the representation at its own rate, at the rate that they are judged at; and seconds."""
        from ...evaluators.threads import one_thread
        from ..eval_set import beginnings

        assert self.representation is not None
        seconds, rate = self.evaluation["seconds"], self.representation.spec.sample_rate
        wav_BN = beginnings(self.eval_set.prompts, rate, round(seconds * rate))
        quantised = cell.config["representation"]["view"] == VIEWS[1]
        made, taken = [], np.zeros(2)
        with one_thread():
            through(self.representation, wav_BN[:1], quantised)  # the first call, which sets things up, is not timed
        for i in range(len(wav_BN)):
            with one_thread():  # others that wait for it would spend processor time too
                decoded_1N, spent = through(self.representation, wav_BN[i : i + 1], quantised)
            made.append(resampled(decoded_1N[0], rate, self.eval_set.sample_rate, self.eval_set.prompt_audio_BN.shape[1]))
            taken += spent
            self.context.report((i + 1) / len(wav_BN), "coding")
        encoding, decoding = taken / len(wav_BN)
        return np.stack(made), {
            "encoding_seconds_per_clip": encoding,
            "decoding_seconds_per_clip": decoding,
            "real_time_factor": (encoding + decoding) / seconds,
        }

    def _kept(self, audio_BN: np.ndarray) -> Scored:
        """What of each clip is there still; ViSQOL only where it is installed."""
        from ...metrics.reconstruction import log_mel_distance, log_msd, si_snr, visqol, visqol_missing
        from ..scoring import item_scores

        rate, pairs = self.eval_set.sample_rate, list(zip(self.eval_set.prompt_audio_BN, audio_BN))
        columns = {
            "si_snr": [si_snr(x_N, y_N) for x_N, y_N in pairs],
            "log_msd": [log_msd(x_N, y_N, rate) for x_N, y_N in pairs],
            "log_mel_distance": [log_mel_distance(x_N, y_N, rate) for x_N, y_N in pairs],
        }
        if self.evaluation["visqol"]:
            columns["visqol"] = [visqol(x_N, y_N, rate) if y_N.any() else math.nan for x_N, y_N in pairs]
        basis = {"visqol": visqol_missing() or "visqol-python, audio mode"}
        return item_scores({name: np.array(values) for name, values in columns.items()}, self.eval_set.prompts, basis)

    def _keep(self, cell: Cell, audio_BN: np.ndarray) -> dict[str, str]:
        """Write the first clips of every system that can be heard."""
        from ....common.audio import kept_format, write_audio

        kept: dict[str, str] = {}
        for clip, audio_N in zip(self.eval_set.prompts[: cell.how["keep_audio"]], audio_BN):
            prompt = clip.id.replace("/", "_")
            kept[f"audio/{prompt}"] = f"audio/{cell.id}-{prompt}{kept_format()}"
            write_audio(self.context.results / kept[f"audio/{prompt}"], audio_N, self.eval_set.sample_rate)
        return kept


def through(representation: Representation, wav_BN: np.ndarray, quantised: bool) -> tuple[np.ndarray, list[float]]:
    """Waveforms (B, N) at the representation's rate, encoded and decoded; and the processor seconds of either."""
    import torch

    from ....representations.base import fit_length

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
    """A waveform at another rate, cut or padded to ``samples``."""
    from scipy.signal import resample_poly

    common = math.gcd(rate, to)
    if rate != to:
        audio_N = resample_poly(audio_N, to // common, rate // common)
    return np.pad(audio_N[:samples], (0, max(0, samples - len(audio_N)))).astype(np.float32)
