"""``bench list``: print the names that studies and options accept."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from ...common.errors import UserError, did_you_mean
from .options import Json


def list_(
    kind: Annotated[str, typer.Argument(help="Only this kind, e.g. studies. Default: all kinds.")] = "",
    as_json: Json = False,
) -> None:
    """List the names that studies and options accept.

    These are the paradigms, axes, studies, size presets, corpora, representations, text encoders, evaluators,
    references and peers (other libraries that latency studies time).

    \b
    Examples:
      bench list
      bench list studies
      bench list evaluators --json
    """
    kinds = _kinds()
    if kind and kind not in kinds:
        raise UserError(f"unknown kind of names {kind!r}{did_you_mean(kind, list(kinds))}; known: {', '.join(kinds)}")
    wanted = [kind] if kind else list(kinds)
    if as_json:
        return print(json.dumps({name: kinds[name] for name in wanted}, indent=1, ensure_ascii=False))
    for name in wanted:
        print(f"{name + ':':<17}{', '.join(kinds[name])}")


def _kinds() -> dict[str, list[str]]:
    from ... import paradigms
    from ...backbones.config import PRESETS
    from ...corpora import CORPORA
    from ..axes.latency.baselines import BASELINES
    from ..evaluators.base import EVALUATORS
    from ..study.axis import AXES
    from ..study.load import study_names
    from ..study.references import REFERENCES

    return {
        "paradigms": paradigms.names(),
        "axes": AXES.names(),
        "studies": study_names(),
        "presets": list(PRESETS),
        "peers": BASELINES.names(),
        "references": list(REFERENCES),
        "corpora": [*(n for n in CORPORA.names() if n != "folder"), "<folder with manifest.csv or manifest.jsonl>"],
        "representations": [
            "codec_builtin",
            "vae_builtin",
            "<folder of bench codec train>",
            "encodec:<folder or hub id>",
            "oobleck:<folder or hub id>",
        ],
        "text": ["builtin", "t5:<folder or hub id>", "clap:<folder or hub id>", "joined by +"],
        "evaluators": [
            "builtin",
            "<folder of bench evaluators train>",
            *(n for n in EVALUATORS.names() if n != "builtin"),
        ],
    }
