"""A script in an environment of its own as an ``Evaluator``.

    get_evaluator("panns")                      weights from the cache folder, else downloaded by the script
    get_evaluator("panns:/models/Cnn14.pth")    a local file
    get_evaluator("fadtk:vggish@/models/hub")   one of several networks, with its local folder

Clips are brought to the script's rate and level here (``audio.py``), so that the policy is one for all evaluators.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np

from ....common.config import config_hash
from ....common.errors import UserError
from ....common.lines import count
from ...metrics.similarity import cosine_similarity
from .. import audio as policy
from ..base import Audio, Evaluator, EvaluatorOutput
from ..cache import Cached, output_from
from . import SCRIPTS, Environment, get_environment
from .running import Reply, run


class ExternalEvaluator(Evaluator):
    """Hears through a script.

    Args:
        env: the environment; its ``check`` task is ``"hear"``.
        model, weights: see ``running.run``.
        random: random weights, for a check of the machinery.

    Raises:
        UserError: not installed, no weights, or a script that fails: it is run once to learn its weights' digest.
    """

    def __init__(self, env: Environment, model: str = "", weights: str = "", random: bool = False) -> None:
        self.env, self.sample_rate, self.classes = env, env.models.get(model, env.sample_rate), {}
        self._run = partial(run, env, "hear", sample_rate=self.sample_rate, model=model, weights=weights, random=random)
        self.name = "_".join([env.name, model.replace("-", "_")] if model else [env.name])
        reply = self._ask([np.zeros(2 * self.sample_rate, np.float32)], [])
        self.checkpoint = f"{' '.join(f'{k} {v}' for k, v in reply.versions.items())}, weights {reply.weights}"
        self._weights = reply.weights
        source = env.script.read_bytes() + (SCRIPTS / "exchange.py").read_bytes()
        about = {"script": hashlib.sha256(source).hexdigest(), "versions": reply.versions, "model": model}
        self.identity = config_hash({**about, "weights": reply.weights}, length=16)

    def hear(self, audio: Audio, sample_rate: int, captions: Sequence[str] | None = None) -> EvaluatorOutput:
        """See ``Evaluator.hear``; all clips go to the script at once."""
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

    def _ask(self, windows: Sequence[np.ndarray], captions: Sequence[str]) -> Reply:
        reply = self._run({f"audio/{i:06d}": window for i, window in enumerate(windows)}, captions=captions)
        expected = {name: len(captions if name == "text" else windows) for name in reply.arrays}
        wrong = [name for name, n in expected.items() if reply.arrays[name].shape[:1] != (n,)]
        if "embedding" not in expected or wrong:
            culprit = f"{wrong[0]!r} has shape {reply.arrays[wrong[0]].shape}" if wrong else "no 'embedding'"
            raise UserError(f"{self.env.name}: its answer to {count(len(windows), 'clip')}: {culprit}; mend its script")
        return reply


def load_external(name: str, source: str = "", **context: Any) -> Evaluator:
    """``source`` is ``""``, a local file or folder, a model's name, or ``model@file``; ``context`` plays no part.

    Raises:
        UserError: see ``ExternalEvaluator``; or no such model.
    """
    env = get_environment(name)
    model, _, weights = source.partition("@")
    if env.models and model not in env.models:
        raise UserError(f"{name} has no model {model!r}; say {name}:MODEL, one of {', '.join(env.models)}")
    if not env.models:
        model, weights = "", source
    return Cached(ExternalEvaluator(env, model, weights))


audiobox = partial(load_external, "audiobox")
fadtk = partial(load_external, "fadtk")
laion_clap = partial(load_external, "laion_clap")
panns = partial(load_external, "panns")
passt = partial(load_external, "passt")
