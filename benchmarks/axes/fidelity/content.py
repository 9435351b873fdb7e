"""What this machine has under the names by which a cell's worker finds corpus, representation, evaluator and reward."""

from __future__ import annotations

from typing import Any

from ....common.config import from_dict
from ....corpora.spec import CorpusChoice
from ....training.sources import Sources, identity, load_data
from ...evaluators.rewards import load_reward
from ...study.arms import control_tokens
from ...study.cells import Cell
from ..eval_set import load_evaluator


def content_of(cell: Cell, version: int, coded: bool = True) -> dict[str, Any]:
    """The parts of the config that state content, of a cell of an axis that trains arms, as they are here.

    Args:
        version: of the axis' protocol.
        coded: whether the evaluator was also trained on the representation's output (``load_evaluator``).

    Raises:
        UserError: something is not here at all.
    """
    how, sources = cell.how, cell.how["sources"]
    corpus = from_dict(CorpusChoice, sources["corpus"], "corpus")
    names = Sources(corpus, sources["representation"], sources["text"], sources["latents"])
    data = load_data(names, latents=False)
    evaluator = load_evaluator(how["evaluator"], data, coded)
    evaluation: dict[str, Any] = {"evaluator": {"name": evaluator.name, "identity": evaluator.identity}}
    if how.get("reward"):
        reward = load_reward(how["reward"], data.corpus, data.representation)
        evaluation["reward"] = {"name": reward.name, "identity": reward.identity}
    model: dict[str, Any] = {}
    held = cell.config.get("model", {})
    if "pretraining_corpus" in held:
        first = from_dict(CorpusChoice, sources["pretraining"], "pretraining_corpus").load(captions=False)
        model["pretraining_corpus"] = {"name": first.name, "fingerprint": first.fingerprint}
    if "control_tokens" in held:
        model["control_tokens"] = control_tokens()
    return {"version": version, "data": identity(data), "evaluation": evaluation, **({"model": model} if model else {})}
