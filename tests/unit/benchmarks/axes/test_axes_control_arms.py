"""The arms that ``test_axes_control`` leaves out go through both axes too: one training run of two updates each."""

from __future__ import annotations

from pathlib import Path

import pytest
from fidelity_toys import _own_cache, home, settings

from paradigm_bench.benchmarks.axes.control.axis import Control
from paradigm_bench.benchmarks.axes.inpainting.axis import Inpainting
from paradigm_bench.benchmarks.study.axis import Context
from paradigm_bench.benchmarks.study.load import load_study

__all__ = ["_own_cache", "home"]  # fixtures
QUICK = {
    "ar": {},
    "mar": {"iterations": 2, "diffusion_steps": 2},
    "mntp": {"diffusion_steps": 2},
    "masked_fm": {"iterations": 2, "steps": 2},
}


@pytest.mark.parametrize("paradigm", QUICK)
def test_an_arm_is_controlled_and_fills_spans(paradigm: str, home: Path, tmp_path: Path) -> None:
    small = [*settings(home), "seeds=[0]", "train.snapshots=[]", "evaluation.prompts=2", "evaluation.references=[]"]
    small += ["controls.names=[chords_majmin, melody, drums]", "controls.scenarios=[wrong]"]
    kept = {}
    for axis, name in ((Control(), "control"), (Inpainting(), "inpainting")):
        study = load_study(name, small, (paradigm,))
        (cell,) = axis.expand(study)
        cell.config["sampler"].update(QUICK[paradigm])
        group = axis.open([cell], Context("s", tmp_path, home / "runs"))
        made = group.measure(cell)
        assert made.status == "ok"
        assert made.metrics["chord_iou" if name == "control" else "seam"].n == 2
        kept[name] = group, made
    assert ("entropy" in kept["control"][1].artefacts) == (paradigm == "ar")
    assert kept["inpainting"][0].result.final == kept["control"][0].result.final  # one training run for both
