"""Files written before ``text_stem`` and ``control_stem`` became ``text_conditioner`` and ``control_conditioner``."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from training_arms import arm, run_arm, spec
from training_toys import toy_stream

from paradigm_bench import paradigms
from paradigm_bench.common.config import config_hash
from paradigm_bench.common.files import read_json, write_json
from paradigm_bench.training.results import identity

OLD = {"text_conditioner": "text_stem", "control_conditioner": "control_stem"}


def old_name(name: str) -> str:
    """The name of a parameter, or of a part of the optimiser's state, before."""
    for now, before in OLD.items():
        name = name.replace(now, before)
    return name


def give_old_names(file: Path, metadata: dict[str, str] | None = None) -> None:
    """Write the tensors of ``file`` again under their old names."""
    tensors = load_file(file)
    assert any(part in name for name in tensors for part in OLD)
    save_file({old_name(name): tensor for name, tensor in tensors.items()}, file, metadata)


def test_old_and_new_names() -> None:
    before = {"text_stem.norm.weight": 1, "exp_avg/control_stem.tables.chords.weight": 2, "backbone.text_stem": 3}
    now = ["text_conditioner.norm.weight", "exp_avg/control_conditioner.tables.chords.weight", "backbone.text_stem"]
    assert list(paradigms.current_names(before)) == now  # type: ignore[arg-type]
    assert [paradigms.recorded_name(name) for name in now] == list(before)


def test_a_saved_model_with_old_names_loads(tmp_path: Path) -> None:
    model = arm("mar")
    paradigms.save(model, tmp_path)
    give_old_names(tmp_path / "model.safetensors", {"paradigm": "mar"})
    for ours, theirs in zip(model.parameters(), paradigms.load(tmp_path).parameters(), strict=True):
        assert torch.equal(ours, theirs)


@pytest.mark.parametrize("optimiser", ["adamw", "muon"])
def test_a_run_resumes_from_a_checkpoint_with_old_names(optimiser: str, tmp_path: Path) -> None:
    """The same weights as without the stop: model, average and optimiser are all restored."""
    whole = run_arm("fm", tmp_path / "whole", optimiser=optimiser)
    model, calls = arm("fm"), []
    inner = model.loss

    def loss(*given: object) -> object:
        if torch.is_grad_enabled():  # not the validation loss
            calls.append(given)
        if len(calls) == 9:  # two micro-batches per update: after the checkpoint of update 3
            raise KeyboardInterrupt
        return inner(*given)

    model.loss = loss
    with pytest.raises(KeyboardInterrupt):
        run_arm("fm", tmp_path / "stopped", model, optimiser=optimiser)
    (checkpoint,) = (tmp_path / "stopped").glob("checkpoint-*")
    for part in ("model", "ema", "optimizer"):
        give_old_names(checkpoint / f"{part}.safetensors")
    resumed = run_arm("fm", tmp_path / "stopped", optimiser=optimiser)
    before, after = (load_file(result.final / "model.safetensors") for result in (whole, resumed))
    assert all(torch.equal(tensor, after[name]) for name, tensor in before.items())


def test_a_finished_run_is_recognised_by_the_names_of_then(tmp_path: Path) -> None:
    """The hash of names and shapes in result.json was made with the old names; nothing is trained again."""
    result = run_arm("ar", tmp_path)
    asked, model = spec(), arm("ar")
    shapes = {old_name(name): list(p.shape) for name, p in model.named_parameters()}
    described = identity(model, toy_stream(asked, controlled=True), asked)["model"]
    assert described["shapes"] == config_hash(shapes)
    stored = read_json(tmp_path / "result.json")
    assert stored["identity"]["model"]["shapes"] == config_hash(shapes)
    write_json(tmp_path / "result.json", {**stored, "figures": {**stored["figures"], "final_loss": 7.0}})
    assert run_arm("ar", tmp_path).final_loss == 7.0
    assert result.final.is_dir()
