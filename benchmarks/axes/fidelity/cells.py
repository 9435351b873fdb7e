"""A fidelity study as cells, and the parts of cells that all axes with trained arms share.

A cell's config has every default resolved and names data, evaluator and reward by their content. It is built as plain
data, because its hash is the cell's identity: ``shared`` are the keys that all cells of a study have, and ``how`` is
what a worker needs beside the config, such as where things are found on this machine.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Collection, Sequence
from typing import Any

from .... import paradigms
from ....common.config import from_dict, to_dict
from ....common.errors import UserError, did_you_mean
from ....common.lines import count, say, say_once
from ....corpora import Corpus
from ....corpora.spec import CorpusChoice
from ....training import TrainSpec
from ....training.sources import Data, Sources, identity, load_data
from ....training.trained import resolved, training_folder
from ....training.tuning import TuneSpec
from ...evaluators.base import EVALUATORS
from ...evaluators.rewards import load_reward
from ...study.arms import control_tokens, model_config
from ...study.cells import Cell, CellConfig
from ...study.references import REFERENCES, why_impossible
from ...study.study import ArmChoice, Study
from ...study.tuning import arm_train
from ..eval_set import check_roles, eligible, identities, load_evaluators, named_evaluators

VERSION = 2  # to be raised when the protocol or the meaning of a metric changes, which makes all cells new


def expand(study: Study) -> list[Cell]:
    """References first, then every arm for every seed, at every snapshot and at the end.

    Raises:
        UserError: an unknown paradigm, option, sampler setting, preset or reference; too few test clips.
    """
    data = load_data(Sources(study.corpus, study.representation, study.text, study.latents), latents=False)
    evaluation, how = evaluation_of(study, data)
    shared = {"axis": "fidelity", "version": VERSION, "data": identity(data), "evaluation": evaluation}
    cells = reference_cells(study, data, shared, how)
    for seed in study.seeds:
        for arm in study.arms:
            cells += _arm(arm, seed, study, data, shared, how)
    return cells


def data_of(cell: Cell) -> Data:
    """The data that a cell's worker needs, with encoded clips for a cell whose arm is trained."""
    sources, model = cell.how["sources"], cell.read(CellConfig).model
    first = sources.get("pretraining")
    found = Sources(
        corpus=from_dict(CorpusChoice, sources["corpus"], "corpus"),
        representation=sources["representation"],
        text=sources["text"],
        latents=sources["latents"],
        normalisation=model.normalisation if model else "paper",
        pretraining=from_dict(CorpusChoice, first, "pretraining_corpus") if first else None,
    )
    controls = [spec["name"] for spec in model.controls] if model else []
    return load_data(found, latents=cell.kind == "paradigm", controls=controls)


def evaluation_of(study: Study, data: Data, coded: bool = True) -> tuple[dict[str, Any], dict[str, Any]]:
    """The part of the config that decides scores, and what else a worker needs (``how``).

    Args:
        coded: whether an evaluator that is trained on the corpus also learns the representation's output.
    """
    chosen, seconds = study.evaluation, study.train.seconds
    prompts = prompts_of(study, data.corpus)
    sources = {
        "corpus": to_dict(study.corpus), "representation": study.representation, "text": study.text,
        "latents": study.latents,
    }  # fmt: skip
    if study.pretraining_corpus is not None:
        sources["pretraining"] = to_dict(study.pretraining_corpus)
    named = named_evaluators(chosen)
    evaluators = load_evaluators(named, data.corpus, data.representation if coded else None)
    check_roles(evaluators, chosen)
    _check_declared(study, [evaluator.name for evaluator in evaluators])
    evaluation = {
        "split": chosen.split,
        **({"reference_split": chosen.reference_split} if chosen.reference_split else {}),
        "prompts": prompts,
        "seconds": seconds,
        "sample_rate": data.representation.spec.sample_rate,
        **identities(evaluators),
        **({"replication": True} if chosen.replication else {}),
    }
    how = {"sources": sources, **named, "batch": chosen.batch, "keep_audio": chosen.keep_audio}
    if chosen.reward:
        reward = load_reward(chosen.reward, data.corpus, data.representation)
        evaluation["reward"], how["reward"] = {"name": reward.name, "identity": reward.identity}, chosen.reward
        for evaluator in evaluators:
            if reward.evaluator == evaluator.identity:
                role = "evaluator" if evaluator.role == "tagger" else "judge"
                say(f"note: {reward.name} is reward and {role} at once, so scores are biased; choose another")
    return evaluation, how


def _check_declared(study: Study, held: Sequence[str]) -> None:
    """Refuse a name in ``trained_on`` that no metric has, since a declaration with a misspelt name would hide nothing.

    Raises:
        UserError: naming it.
    """
    known = dict.fromkeys([*EVALUATORS.names(), *held])
    for arm in study.arms:
        for name in arm.trained_on:
            if not any(name == one or name.startswith(f"{one}_") for one in known):
                hint = did_you_mean(name, list(known))
                raise UserError(
                    f"{study.name}: trained_on of arm {arm.name!r}: no evaluator {name!r}{hint}; give the name at the "
                    f"end of its metrics; known: {', '.join(known)}"
                )


def prompts_of(study: Study, corpus: Corpus) -> int:
    """Number of prompts of a study: those it asks for, or fewer, since the reference set needs as many other clips.

    Raises:
        UserError: the corpus has fewer than four clips that are long enough.
    """
    chosen, seconds = study.evaluation, study.train.seconds
    fit = len(eligible(corpus, chosen.split, seconds))
    others = chosen.reference_split if chosen.reference_split != chosen.split else ""
    most = min(fit, len(eligible(corpus, others, seconds))) if others else fit // 2
    prompts = min(chosen.prompts, most)
    if prompts < 2:
        least = f"at least 2, and 2 of the {others} split" if others else "at least 4"
        raise UserError(
            f"corpus {corpus.name}: {count(fit, f'{chosen.split} clip')} of {seconds:g} s or more; "
            f"scoring needs {least}; add clips or lower train.seconds"
        )
    if prompts < chosen.prompts:
        say(f"note: {count(fit, f'{chosen.split} clip')} give {count(prompts, 'prompt')}, not {chosen.prompts}")
    return prompts


def reference_cells(
    study: Study, data: Data, shared: dict[str, Any], how: dict[str, Any], known: Collection[str] = tuple(REFERENCES)
) -> list[Cell]:
    """The cells of a study's floors, ceilings and baselines; those that the corpus does not allow are left out.

    Raises:
        UserError: one of them is not ``known``.
    """
    cells, evaluation = [], shared["evaluation"]
    seconds = evaluation.get("whole", evaluation["seconds"])  # ``whole``: clips are longer than what is scored
    prompts = eligible(data.corpus, evaluation["split"], seconds)[: evaluation["prompts"]]
    for name in study.evaluation.references:
        if name not in known:
            hint = did_you_mean(name, list(known))
            raise UserError(f"evaluation.references: unknown {name!r}{hint}; known: {', '.join(known)}")
        if why := why_impossible(name, prompts, data.corpus, evaluation["seconds"]):
            _say_left_out(f"note: no row {name!r}: {why} in corpus {data.corpus.name}")
            continue
        config = {**shared, "reference": name, "seed": 0}
        cells.append(Cell(shared["axis"], name, "reference", 0, None, "references", config, how))
    return cells


@functools.cache
def _say_left_out(note: str) -> None:
    """Say once, however many points a sweep has, why a row is left out."""
    say_once(note)


def trained_config(arm: ArmChoice, seed: int, study: Study, data: Data, shared: dict[str, Any]) -> dict[str, Any]:
    """The config of an arm's cells except what varies between them; the same on every axis, so that axes share weights.

    Raises:
        UserError: a budget that buys no update of this arm, or fewer than the warm-up takes.
    """
    model = {**model_config(arm, study, data.representation.spec), **_pretraining_corpus(study)}
    train = dataclasses.replace(arm_train(arm.train, study.train, arm.name), seed=seed)
    return {
        **shared,
        "model": model,
        "train": to_dict(resolved(train, model, data)),
        "sampler": to_dict(paradigms.find(arm.paradigm).sampler(arm.sampler)),
        "seed": seed,
        # Records older than these two settings have neither key.
        **({} if study.noise == "torch" else {"noise": study.noise}),
        **({} if study.evaluation.precision == "fp32" else {"precision": study.evaluation.precision}),
        **({"trained_on": list(arm.trained_on)} if arm.trained_on else {}),
    }


def trained_cells(
    study: Study, data: Data, shared: dict[str, Any], how: dict[str, Any], variants: dict[str, dict[str, Any]]
) -> list[Cell]:
    """Cells of every arm for every seed, trained to the end, one per variant.

    Args:
        variants: label of the cell -> further keys of its config.

    Raises:
        UserError: see ``trained_config``.
    """
    cells = []
    for seed in study.seeds:
        kept = how if seed == study.seeds[0] else {**how, "keep_audio": 0}  # audio of one run of each arm is enough
        for arm in study.arms:
            config = trained_config(arm, seed, study, data, shared)
            at, folder = last_update(config), training_folder(config)
            about = {**kept, **_own(arm)}
            for label, beside in variants.items():
                cell = {**config, "at_updates": at, **beside}
                most = at or config["train"]["updates"]
                cells.append(Cell(shared["axis"], arm.name, "paradigm", seed, at, folder, cell, about, most, label))
    return cells


def _own(arm: ArmChoice) -> dict[str, Any]:
    """What a record tells of an arm beside its config: which settings of its training it has of its own, and how a
    search chose its settings (``analysis.comparability``, ``report.tuned_arms``).
    """
    return {
        **({"own_train": sorted(arm.train)} if arm.train else {}),
        **({"chosen_by": arm.chosen_by} if arm.chosen_by else {}),
    }


def _pretraining_corpus(study: Study) -> dict[str, Any]:
    """The corpus of unconditional pre-training by content; empty where it is the corpus of the study."""
    if study.pretraining_corpus is None or not study.train.pretraining:
        return {}
    corpus = study.pretraining_corpus.load(captions=False)
    return {"pretraining_corpus": {"name": corpus.name, "fingerprint": corpus.fingerprint}}


def last_update(config: dict[str, Any]) -> int | None:
    """The update after which training ends; None where wall time or the validation loss ends it."""
    train = from_dict(TrainSpec, config["train"], "train")
    return None if train.budget.open_ended else train.updates


def _tuned(arm: ArmChoice, seed: int, study: Study, config: dict[str, Any], how: dict[str, Any]) -> Cell:
    """The cell of an arm after tuning; ``at_updates`` counts the updates of training and of all tuning rounds."""
    if not study.evaluation.reward:
        raise UserError(f"{study.name}: arm {arm.name!r} has tune settings, which need evaluation.reward; set it")
    reward = config["evaluation"]["reward"]
    spec = from_dict(TuneSpec, {"reward": reward["name"], "seed": seed, **arm.tune}, f"{arm.name} tune")
    if spec.reward != reward["name"]:
        raise UserError(f"{arm.name}: tune.reward must be evaluation.reward ({reward['name']}); leave tune.reward out")
    if (end := last_update(config)) is None:
        raise UserError(
            f"{arm.name}: tuning cannot follow a budget in {study.train.budget.unit}; set train.updates instead"
        )
    at = end + spec.rounds * spec.updates
    tuned = {**config, "tune": {**to_dict(spec), "reward": reward}, "at_updates": at}
    return Cell("fidelity", arm.name, "paradigm", seed, at, training_folder(tuned), tuned, how, at)


def content_of(cell: Cell, version: int, coded: bool = True) -> dict[str, Any]:
    """The parts of a cell's config that state content, as they are on this machine.

    Args:
        version: of the axis' protocol.
        coded: see ``evaluation_of``.

    Raises:
        UserError: something is not here at all.
    """
    how, sources = cell.how, cell.how["sources"]
    corpus = from_dict(CorpusChoice, sources["corpus"], "corpus")
    names = Sources(corpus, sources["representation"], sources["text"], sources["latents"])
    data = load_data(names, latents=False)
    evaluation = identities(load_evaluators(how, data.corpus, data.representation if coded else None))
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


def _arm(
    arm: ArmChoice, seed: int, study: Study, data: Data, shared: dict[str, Any], how: dict[str, Any]
) -> list[Cell]:
    """The cells of one training run: at every snapshot and at the end, or after tuning."""
    config = trained_config(arm, seed, study, data, shared)
    end = last_update(config)
    if seed != study.seeds[0]:
        how = {**how, "keep_audio": 0}  # audio of one run of each arm is enough
    how = {**how, **_own(arm)}
    if arm.tune:
        return [_tuned(arm, seed, study, config, how)]
    folder, updates = training_folder(config), end or config["train"]["updates"]
    cells = {at: {**config, "at_updates": at} for at in [*study.measured_snapshots, end]}
    return [Cell("fidelity", arm.name, "paradigm", seed, at, folder, own, how, updates) for at, own in cells.items()]
