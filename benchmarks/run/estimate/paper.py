"""Models without memory for their weights, to count parameters and operations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from .... import paradigms
from ....backbones import BackboneConfig
from ....common.config import from_dict
from ....representations.base import LatentSpec
from ....representations.latents.controls import ControlSpec
from ....representations.text.encoders import TextSpec

if TYPE_CHECKING:
    from ....paradigms.base import Paradigm


@dataclass(frozen=True)
class Sight:
    """What models of a study read, as far as costs depend on it; ``text_tokens``: to which captions are padded."""

    latent: LatentSpec
    text: TextSpec
    text_tokens: int
    corpus_seconds: float


def on_paper(config: dict[str, Any], sight: Sight) -> Paradigm:
    """The model of a cell's ``config``, without memory for its weights."""
    backbone = from_dict(BackboneConfig, config["backbone"], "backbone")
    controls = [from_dict(ControlSpec, about, "controls") for about in config.get("controls", [])]
    with torch.device("meta"):
        return paradigms.build(config["paradigm"], config["options"], backbone, sight.latent, sight.text, controls)
