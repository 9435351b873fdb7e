"""The interchangeable paradigms, one file each: ``ar``, ``fm``, ``mar``, ``mntp`` (with ``ntp``) and ``masked_fm``.

``base`` has the class that they inherit from, ``batch`` what goes into it. What several of them use: ``conditioning``,
``guidance``, ``heads``, ``masked``, ``masks``, ``delay`` (the delay pattern), ``infill``, ``diffusion``, ``ode``, and
``session`` for sampling loops that run as CUDA graphs. ``pipeline`` goes from a caption to audio.

``build`` makes a model around a backbone; ``save`` and ``load`` keep it as safetensors and JSON (nothing is unpickled).
Modules that need torch are imported inside functions, so that names and options can be listed without it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..backbones import BackboneConfig
from ..common.config import from_dict, to_dict
from ..common.errors import UserError
from ..common.files import read_json, write_json, write_tensors
from ..common.registry import Registry
from ..representations.spec import LatentSpec

if TYPE_CHECKING:
    from torch import Tensor

    from ..representations.latents.controls import ControlSpec
    from ..representations.text.encoders import TextSpec
    from .base import Paradigm

REGISTRY = Registry(
    "paradigm",
    {
        "ar": "paradigm_bench.paradigms.ar:AR",
        "fm": "paradigm_bench.paradigms.fm:FM",
        "mar": "paradigm_bench.paradigms.mar:MAR",
        "mntp": "paradigm_bench.paradigms.mntp:MNTP",
        "ntp": "paradigm_bench.paradigms.mntp:NTP",
        "masked_fm": "paradigm_bench.paradigms.masked_fm:MaskedFM",
    },
)

RENAMED = {"text_stem": "text_conditioner", "control_stem": "control_conditioner"}
"""Parts of a model that were renamed: the name in files written before, and the name now."""


def current_names(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors of a saved model or optimiser by the names that parameters have now.

    An optimiser's state is named ``<state>/<parameter>``.
    """
    return {_replace_part(name, RENAMED): tensor for name, tensor in tensors.items()}


def recorded_name(name: str) -> str:
    """The name that a parameter, or a part of a model, has in records and in hashes of a run's identity: the first."""
    return _replace_part(name, {now: before for before, now in RENAMED.items()})


def _replace_part(name: str, names: Mapping[str, str]) -> str:
    state, slash, parameter = name.rpartition("/")
    part, dot, rest = parameter.partition(".")
    return state + slash + names.get(part, part) + dot + rest


def names() -> list[str]:
    """Names of all known paradigms."""
    return REGISTRY.names()


def find(name: str) -> type[Paradigm]:
    """The class called ``name``: a short name, or ``package.module:Class``.

    Raises:
        UserError: the name is unknown, its module cannot be imported, or it is not a paradigm.
    """
    from .base import Paradigm

    cls = REGISTRY.load(name)
    if not (isinstance(cls, type) and issubclass(cls, Paradigm) and cls is not Paradigm):
        raise UserError(f"{name!r} is no paradigm; name a class that inherits from paradigms.base.Paradigm")
    return cls


def build(
    name: str,
    options: Mapping[str, Any],
    backbone: BackboneConfig,
    latent: LatentSpec,
    text: TextSpec,
    controls: Sequence[ControlSpec] = (),
) -> Paradigm:
    """Make a randomly initialised model of the paradigm called ``name``.

    Raises:
        UserError: an unknown name or option, or a representation that the paradigm cannot model.
    """
    cls = find(name)
    return cls(from_dict(cls.options_class, options, f"{name} options"), backbone, latent, text, controls)


def reference(cls: type[Paradigm]) -> str:
    """The name by which ``build`` and ``load`` find ``cls``: its short name if registered, else ``module:Class``."""
    target = f"{cls.__module__}:{cls.__qualname__}"
    return cls.name if REGISTRY.target(cls.name) == target else target


def save(model: Paradigm, folder: Path | str) -> None:
    """Write ``model.safetensors`` and then ``model.json``; a folder without the latter is incomplete."""
    folder, controls = Path(folder), model.control_conditioner
    write_tensors(folder / "model.safetensors", model.state_dict(), {"paradigm": model.name})
    write_json(
        folder / "model.json",
        {
            "paradigm": reference(type(model)),
            "options": to_dict(model.options),
            "backbone": to_dict(model.backbone_config),
            "latent": to_dict(model.latent),
            "text": to_dict(model.text_conditioner.spec),
            "controls": [to_dict(spec) for spec in controls.specs] if controls else [],
        },
    )


def load(folder: Path | str) -> Paradigm:
    """Read a model that ``save`` wrote, in evaluation mode.

    Raises:
        UserError: there is no model in the folder, or the weights do not fit the config beside them.
    """
    from ..representations.latents.controls import ControlSpec
    from ..representations.text.encoders import TextSpec

    folder = Path(folder)
    config = read_json(folder / "model.json")
    where = f"{folder / 'model.json'}"
    for key in ("paradigm", "options", "backbone", "latent", "text"):
        if key not in config:
            raise UserError(f"{where}: missing key {key!r}; give the folder of a model saved by this project")
    model = build(
        config["paradigm"],
        config["options"],
        from_dict(BackboneConfig, config["backbone"], where),
        from_dict(LatentSpec, config["latent"], where),
        from_dict(TextSpec, config["text"], where),
        tuple(from_dict(ControlSpec, spec, where) for spec in config.get("controls", [])),
    )
    try:
        model.load_state_dict(current_names(_weights(folder / "model.safetensors", model.name)))
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[-1].strip().rstrip(".")
        raise UserError(f"the weights in {folder} do not fit {where}: {reason}; give the right folder") from error
    return model.eval()


def _weights(path: Path, paradigm: str) -> dict[str, Tensor]:
    """The tensors of a file that ``save`` wrote for a model of ``paradigm``."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            owner = (file.metadata() or {}).get("paradigm", paradigm)
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise UserError(f"cannot read {path}: {error}; copy or train the model anew") from error
    if owner != paradigm:
        raise UserError(
            f"{path} holds weights of {owner!r}, model.json beside it says {paradigm!r}; give the right folder"
        )
    return tensors
