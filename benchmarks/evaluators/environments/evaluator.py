"""A script in an environment of its own as an ``Evaluator``, and a small check of every environment.

    get_evaluator("panns")                      weights from the cache folder, else downloaded by the script
    get_evaluator("panns:/models/Cnn14.pth")    a local file
    get_evaluator("fadtk:vggish@/models/hub")   one of several networks, with its local folder

Clips are resampled and scaled here (``evaluators/audio.py``), so that the preparation is the same for all evaluators.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np

from ....common.config import config_hash
from ....common.errors import UserError
from ....common.lines import count
from ...metrics.adherence import cosine_similarity
from ...metrics.frechet import frechet_distance
from .. import audio as policy
from ..base import Audio, Evaluator, EvaluatorOutput
from ..cache import CachedEvaluator, output_from
from .environment import SCRIPTS, Environment, ScriptReply, get_environment, run


class ExternalEvaluator(Evaluator):
    """An evaluator that runs a script in another environment.

    Args:
        env: the environment; its ``check`` task is ``"evaluate"``.
        model, weights: see ``environment.run``.
        random: use random weights, for a check of the installation.

    Raises:
        UserError: not installed, no weights, or a script that fails: it runs once to get the digest of its weights.
    """

    def __init__(self, env: Environment, model: str = "", weights: str = "", random: bool = False) -> None:
        self.env, self.sample_rate, self.classes = env, env.models.get(model, env.sample_rate), {}
        self._run = partial(
            run, env, "evaluate", sample_rate=self.sample_rate, model=model, weights=weights, random=random
        )
        self.name = "_".join([env.name, model.replace("-", "_")] if model else [env.name])
        reply = self._ask([np.zeros(2 * self.sample_rate, np.float32)], [])
        self.checkpoint = f"{' '.join(f'{k} {v}' for k, v in reply.versions.items())}, weights {reply.weights}"
        self._weights = reply.weights
        source = env.script.read_bytes() + (SCRIPTS / "exchange.py").read_bytes()
        about = {"script": hashlib.sha256(source).hexdigest(), "versions": reply.versions, "model": model}
        self.identity = config_hash({**about, "weights": reply.weights}, length=16)

    def evaluate(self, audio: Audio, sample_rate: int, captions: Sequence[str] | None = None) -> EvaluatorOutput:
        """See ``Evaluator.evaluate``; the script is given all clips at once."""
        policy.check(audio, sample_rate, "audio")
        policy.check_captions(audio, captions)
        prepared = [policy.prepare(wav, sample_rate, self.sample_rate) for wav in audio]
        size = round(self.env.window_seconds * self.sample_rate)
        pieces = [list(policy.windows(wav, size)) if 0 < size < len(wav) else [wav] for wav in prepared]
        reply = self._ask([window for windows in pieces for window in windows], captions or [])
        if reply.weights != self._weights:
            raise UserError(f"{self.env.name}: its weights changed while it was in use; start again")
        starts = np.cumsum([0, *(len(windows) for windows in pieces)])
        text = reply.arrays.pop("text", None)
        table = {
            name: np.stack([values[a:b].astype(np.float64).mean(0) for a, b in pairwise(starts)])
            for name, values in reply.arrays.items()
        }
        if captions is not None and text is not None:
            table["similarity"] = cosine_similarity(table["embedding"], text)
        return output_from(table, sum(policy.is_silent(wav) for wav in audio))

    def _ask(self, windows: Sequence[np.ndarray], captions: Sequence[str]) -> ScriptReply:
        reply = self._run({f"audio/{i:06d}": window for i, window in enumerate(windows)}, captions=captions)
        expected = {name: len(captions if name == "text" else windows) for name in reply.arrays}
        wrong = [name for name, n in expected.items() if reply.arrays[name].shape[:1] != (n,)]
        if "embedding" not in expected or wrong:
            culprit = f"{wrong[0]!r} has shape {reply.arrays[wrong[0]].shape}" if wrong else "no 'embedding'"
            raise UserError(f"{self.env.name}: its answer to {count(len(windows), 'clip')}: {culprit}; mend its script")
        return reply


def load_external(name: str, source: str = "", **context: Any) -> Evaluator:
    """Load the evaluator ``name``.

    Args:
        source: ``""``, a local file or folder, a model's name, or ``model@file``.
        context: corpus and representation, which are ignored.

    Raises:
        UserError: see ``ExternalEvaluator``; or no such model.
    """
    env = get_environment(name)
    model, _, weights = source.partition("@")
    if env.models and model not in env.models:
        raise UserError(f"{name} has no model {model!r}; say {name}:MODEL, one of {', '.join(env.models)}")
    if not env.models:
        model, weights = "", source
    return CachedEvaluator(ExternalEvaluator(env, model, weights))


audiobox = partial(load_external, "audiobox")
fadtk = partial(load_external, "fadtk")
laion_clap = partial(load_external, "laion_clap")
panns = partial(load_external, "panns")
passt = partial(load_external, "passt")


def check_environment(env: Environment, weights: str = "") -> str:
    """Run a small request, with random weights unless some are given; returns one line on the reply.

    Raises:
        UserError: see ``environment.run``; or its numbers differ from ours.
    """
    return CHECKS.get(env.check, _check_evaluator)(env, weights)


def _clips(sample_rate: int) -> list[np.ndarray]:
    """Three seconds of noise, and four of a tone."""
    noise = 0.1 * np.random.default_rng(0).standard_normal(3 * sample_rate)
    tone = 0.3 * np.sin(2 * np.pi * 440 / sample_rate * np.arange(4 * sample_rate))
    return [noise.astype(np.float32), tone.astype(np.float32)]


def _check_evaluator(env: Environment, weights: str) -> str:
    evaluator = ExternalEvaluator(env, weights=weights, random=not weights)
    output = evaluator.evaluate(_clips(env.sample_rate), env.sample_rate, ["noise", "a tone"])
    parts = [f"embeddings of {output.embeddings.shape[1]}"]
    parts += [f"{values.shape[1]} classes" for values in output.posteriors.values()]
    parts += [", ".join(output.scores)] if output.scores else []
    parts += ["text similarity"] if output.similarity is not None else []
    return f"{'; '.join(parts)} ({'given' if weights else 'random'} weights {evaluator.checkpoint.split()[-1]})"


def _frechet(env: Environment, weights: str) -> str:
    rng = np.random.default_rng(0)
    sets = {"reference": rng.standard_normal((60, 8)), "generated": rng.standard_normal((60, 8)) + 1}
    theirs = run(env, "frechet", sets).facts["frechet"]
    ours = frechet_distance(sets["reference"], sets["generated"]).value
    if abs(theirs - ours) > 1e-6 * ours:
        raise UserError(f"{env.name}: its Frechet distance is {theirs}, ours {ours}; report this")
    return f"its Frechet distance and ours differ by {abs(theirs - ours) / ours:.0e} of {ours:.3f}"


def _reconstruct(env: Environment, weights: str) -> str:
    model, rate = next(iter(env.models.items()))
    clip = _clips(rate)[0]
    arrays = {"audio/000000": clip}
    reply = run(env, "reconstruct", arrays, sample_rate=rate, model=model, weights=weights, random=not weights)
    return f"a clip of {len(clip)} samples came back as {reply.arrays['wav/0'].shape} ({model})"


def _chroma(env: Environment, weights: str) -> str:
    clip = _clips(16_000)[1]
    arrays, options = {"reference/0": clip, "generated/0": clip}, {"n_chroma": 12, "radix2_exp": 14, "argmax": True}
    reply = run(env, "chroma", arrays, sample_rate=16_000, options=options)
    return f"chroma similarity of a clip with itself: {reply.arrays['similarity'][0]:.3f}"


CHECKS: dict[str, Callable[[Environment, str], str]] = {
    "frechet": _frechet,
    "reconstruct": _reconstruct,
    "chroma": _chroma,
}
