"""The model of an arm as plain data, every default resolved: what a cell's ``config["model"]`` holds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ... import paradigms
from ...backbones import BackboneConfig
from ...backbones.config import preset
from ...common.config import from_dict, to_dict
from ...corpora.extractors import load_extractor
from ...representations.latents.controls import CONTROL_VERSION, control_specs

if TYPE_CHECKING:
    from ...representations.spec import LatentSpec
    from .study import ArmChoice, Study


def model_config(arm: ArmChoice, study: Study, latent: LatentSpec) -> dict[str, Any]:
    """The architecture of ``arm`` on ``latent``, with the study's backbone and controls.

    Raises:
        UserError: an unknown paradigm, option, preset or control, or a backbone that the paradigm cannot use.
    """
    return {
        **architecture(arm, study),
        **_controls(study, latent),
        **({} if arm.normalisation == "paper" else {"normalisation": arm.normalisation}),
    }


def architecture(arm: ArmChoice, study: Study) -> dict[str, Any]:
    """The paradigm of ``arm``, its options, and the study's backbone with the arm's own changes.

    ``own_backbone`` names the settings of the backbone that the arm chose for itself; absent where there are none.

    Raises:
        UserError: an unknown paradigm, option or preset, or a backbone that the paradigm cannot use.
    """
    paradigm = paradigms.find(arm.paradigm)
    shared, own = study.backbone.overrides, arm.backbone
    plain = {**to_dict(preset(study.backbone.preset)), **shared, **own}
    backbone = paradigm.fitted(from_dict(BackboneConfig, plain, f"{arm.name} backbone"), {*shared, *own})
    return {
        "paradigm": arm.paradigm,
        "options": to_dict(from_dict(paradigm.options_class, arm.options, f"{arm.name} options")),
        "backbone": to_dict(backbone),
        **({"own_backbone": sorted(own)} if own else {}),
    }


def _controls(study: Study, latent: LatentSpec) -> dict[str, Any]:
    """The controls of the models and the extractors that make their tokens; empty where there are none."""
    names = study.section("controls").names
    if not names:
        return {}
    specs = control_specs(names, latent)
    return {"controls": [to_dict(spec) for spec in specs], "control_tokens": control_tokens()}


def control_tokens() -> dict[str, Any]:
    """What makes the tokens of controls from audio: the version of that code, and the names of the extractors."""
    return {"version": CONTROL_VERSION, **{kind: load_extractor(kind).name for kind in ("chords", "melody")}}
