"""A small request for each environment: does the machinery run from end to end?"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ....common.errors import UserError
from . import Environment
from .evaluator import ExternalEvaluator
from .running import run


def check(env: Environment, weights: str = "") -> str:
    """Run the environment's own check, with random weights unless some are given; one line on what came back.

    Raises:
        UserError: see ``running.run``.
    """
    return CHECKS.get(env.check, _hear)(env, weights)


def _clips(sample_rate: int) -> list[np.ndarray]:
    """Three seconds of noise, and four of a tone."""
    noise = 0.1 * np.random.default_rng(0).standard_normal(3 * sample_rate)
    tone = 0.3 * np.sin(2 * np.pi * 440 / sample_rate * np.arange(4 * sample_rate))
    return [noise.astype(np.float32), tone.astype(np.float32)]


def _hear(env: Environment, weights: str) -> str:
    evaluator = ExternalEvaluator(env, weights=weights, random=not weights)
    heard = evaluator.hear(_clips(env.sample_rate), env.sample_rate, ["noise", "a tone"])
    parts = [f"embeddings of {heard.embeddings.shape[1]}"]
    parts += [f"{values.shape[1]} classes" for values in heard.posteriors.values()]
    parts += [", ".join(heard.scores)] if heard.scores else []
    parts += ["text similarity"] if heard.similarity is not None else []
    return f"{'; '.join(parts)} ({'given' if weights else 'random'} weights {evaluator.checkpoint.split()[-1]})"


def _frechet(env: Environment, weights: str) -> str:
    from ...metrics.frechet import frechet_distance

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
