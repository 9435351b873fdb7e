"""How large the arms of a study are, before anything is trained: trained parameters, and operations of an update.

Models are built on the meta device, without memory for their weights. ``analysis.costs`` has the same figures by the
records of a study, and the rule by which arms are of one size (``unequal``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ....common.errors import UserError
from ....training.budget import flops_per_update
from ...study.arms import model_config
from ...study.cells import CellConfig, read_config
from ...study.tuning import arm_train
from .plan import model_inputs, training_points
from .sizes import ModelInputs, meta_model

if TYPE_CHECKING:
    from ....backbones import BackboneConfig
    from ...study.study import ArmChoice, Study


@dataclass(frozen=True)
class ArmSize:
    """The size of one arm.

    Attributes:
        setting: the swept values at which it has this size; empty without a sweep.
        parts: trained parameters of each part of the model.
        flops_per_update: floating-point operations of an update (``training.budget``); None: not counted.
    """

    arm: str
    setting: str
    parts: dict[str, int]
    flops_per_update: float | None
    backbone: BackboneConfig

    @property
    def parameters(self) -> int:
        """All trained parameters."""
        return sum(self.parts.values())


def arm_sizes(study: Study) -> list[ArmSize]:
    """The sizes of all arms of ``study``, at every point of its sweep, in order.

    Raises:
        UserError: a study that trains nothing, or whose latents are not known without their codec's weights.
    """
    inputs: dict[str, ModelInputs] = {}
    found = []
    for point, setting in training_points(study):
        name = point.study.representation
        if name not in inputs:
            inputs[name] = model_inputs(point.study)
        found += [arm_size(arm, point.study, inputs[name], setting) for arm in study.arms]
    return found


def arm_size(arm: ArmChoice, study: Study, inputs: ModelInputs, setting: str = "") -> ArmSize:
    """The size of one arm of ``study``."""
    cell = read_config({"axis": study.axis, "model": model_config(arm, study, inputs.latent)}, CellConfig)
    assert cell.model is not None
    model = meta_model(cell.model, inputs)
    flops: float | None
    try:
        flops = flops_per_update(model, arm_train(arm.train, study.train, arm.name), inputs.text_tokens)
    except UserError:  # the paradigm does not say what training costs
        flops = None
    return ArmSize(arm.name, setting, model.parameter_counts(), flops, model.backbone_config)
