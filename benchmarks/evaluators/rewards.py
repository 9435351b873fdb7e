"""Rewards by name: what scores generated clips when a model is tuned.

clap_EVALUATOR    cosine similarity of each clip and its caption, for any evaluator that reads captions:
                  ``clap_builtin``, ``clap_builtin:7`` (the same one, trained from seed 7), ``clap_clap:music``
aesthetics        mean of the four scores of Audiobox Aesthetics (production quality and complexity, content
                  enjoyment and usefulness: MaskAudioFlow 2025, section 4.3), from its own environment
FILE.py:FUNCTION  a function (audio, sample_rate, captions) -> one number per clip; ``audio`` is a list of mono
                  float32 arrays
"""

from __future__ import annotations

import hashlib
import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ...common.errors import UserError
from ...common.files import no_file
from ...training.rewards import Reward
from .base import Float, get_evaluator

if TYPE_CHECKING:
    from ...corpora import Corpus
    from ...representations import Representation

AESTHETICS = "audiobox"
TEXT_SIMILARITY = "clap_"  # beginning of the names of rewards that are similarities of clip and caption


def load_reward(spec: str, corpus: Corpus | None = None, representation: Representation | None = None) -> Reward:
    """The reward called ``spec``.

    Args:
        corpus, representation: what a built-in attribute tagger is trained on, if it must be trained first.

    Raises:
        UserError: there is no such reward, evaluator, file or function.
    """
    if ".py:" in spec:
        return _of_file(spec)
    if spec == "aesthetics":
        evaluator = get_evaluator(AESTHETICS, corpus=corpus, representation=representation)
        return Reward(
            spec, evaluator.identity, evaluator.identity, lambda a, r, c: _own_scores(evaluator.evaluate(a, r).scores)
        )
    name = spec.removeprefix(TEXT_SIMILARITY)
    if name in ("", spec):
        raise UserError(f"no reward {spec!r}; known: clap_EVALUATOR (clap_builtin), aesthetics, FILE.py:FUNCTION")
    evaluator = get_evaluator(name, corpus=corpus, representation=representation)
    where, colon, source = spec.partition(":")
    return Reward(
        f"{where}{colon}{Path(source).name}", evaluator.identity, evaluator.identity, evaluator.text_similarity
    )


def evaluator_in(reward: str) -> str:
    """Name of the evaluator that a reward is made of, by the reward's name; empty for a function of the user's own."""
    if reward == "aesthetics":
        return AESTHETICS
    name = reward.removeprefix(TEXT_SIMILARITY)
    return "" if name == reward else name.partition(":")[0]


def _own_scores(scores: dict[str, Float]) -> Float:
    if not scores:
        raise UserError("the evaluator gave no scores of its own; choose another reward")
    means: Float = np.mean(list(scores.values()), axis=0)
    return means


def _of_file(spec: str) -> Reward:
    where, _, function = spec.rpartition(":")
    path = Path(where)
    if not path.is_file():
        raise UserError(f"reward {spec!r}: {no_file(path)}; give FILE.py:FUNCTION")
    about = importlib.util.spec_from_file_location(path.stem, path)
    assert about is not None
    assert about.loader is not None
    module = importlib.util.module_from_spec(about)
    try:
        about.loader.exec_module(module)
    except Exception as error:
        raise UserError(f"reward {spec!r}: {path.name} cannot be run: {type(error).__name__}: {error}") from error
    found = getattr(module, function, None)
    if not callable(found):
        raise UserError(f"reward {spec!r}: {path.name} has no function {function!r}")
    name = f"{path.name}:{function}"
    return Reward(name, hashlib.sha256(path.read_bytes() + function.encode()).hexdigest()[:16], "", found)
