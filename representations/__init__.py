"""Representations: waveform <-> latents <-> codes, text encoders, and corpora encoded once.

    from paradigm_bench.representations import load_representation

    codec = load_representation("codec_builtin")          # shipped: 16 kHz, 25 Hz, 32 channels, 4 codebooks of 512
    codec = load_representation("vae_builtin")            # shipped: the same networks as a VAE, without codebooks
    codec = load_representation("codec_trained:50@400")   # its recipe at 50 Hz, 400 updates, trained when first loaded
    codec = load_representation("runs/my_codec")          # a folder that `bench codec train` wrote
    codec = load_representation("encodec:facebook/encodec_32khz")   # transformers' EnCodec, folder or hub id
    codec = load_representation("oobleck:/models/stable_audio/vae")  # diffusers' VAE of Stable Audio
    codec = load_representation("mel_vae:cvssp/audioldm")  # AudioLDM's VAE over log-mels, and its vocoder
    codec = load_representation("mel")                     # log-mels themselves, the phase by Griffin-Lim

``base.py`` is the interface, ``codecs/`` holds the codecs and their training, ``latents/`` the store of encoded
corpora, their normalisation and the temporal controls, ``text/`` the caption encoders.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..common.errors import UserError, did_you_mean
from ..common.registry import Registry
from .spec import LatentSpec

if TYPE_CHECKING:
    from .base import Representation

__all__ = ["REPRESENTATIONS", "LatentSpec", "Representation", "load_representation"]

REPRESENTATIONS = Registry(
    "representation",
    {
        "codec_builtin": "paradigm_bench.representations.codecs.builtin:load_builtin",
        "vae_builtin": "paradigm_bench.representations.codecs.builtin:load_builtin_vae",
        "codec_trained": "paradigm_bench.representations.codecs.recipes:load_trained",
        "encodec": "paradigm_bench.representations.codecs.waveform:load_encodec",
        "oobleck": "paradigm_bench.representations.codecs.waveform:load_oobleck",
        "mel": "paradigm_bench.representations.codecs.mel:load_mel",
        "mel_vae": "paradigm_bench.representations.codecs.mel_vae:load_mel_vae",
    },
)


def load_representation(spec: str = "codec_builtin") -> Representation:
    """Load a frozen representation, in eval mode, on the CPU.

    Args:
        spec: as in the examples above; or an installed plugin's ``"name"`` or ``"name:argument"``; or
            ``"package.module:load"`` or ``"package.module:load:argument"`` (docs/representations.md).

    Raises:
        UserError: the spec is unknown, or its weights cannot be found or read.
    """
    known = REPRESENTATIONS.names()
    name, _, argument = spec.partition(":")
    if name not in known:
        attribute, _, rest = argument.partition(":")
        if Path(spec).is_dir():
            from .codecs.builtin import load_codec  # torch loads only where a representation is loaded

            return load_codec(Path(spec))
        hint = did_you_mean(name, known)
        if hint or not attribute.isidentifier():
            known_or = f"{', '.join(known)}, a folder with codec.json, or package.module:load"
            raise UserError(f"no representation or folder {spec!r}{hint}; known: {known_or}")
        name, argument = f"{name}:{attribute}", rest
    loaded = REPRESENTATIONS.load(name)(argument)
    return _checked(loaded, spec)


def _checked(loaded: Any, spec: str) -> Representation:
    """What the loader called ``spec`` returned, frozen and in eval mode.

    Raises:
        UserError: it is not a complete ``Representation``.
    """
    from .base import Representation

    if not isinstance(loaded, Representation):
        raise UserError(f"{spec} gave a {type(loaded).__name__}, not a Representation; see docs/representations.md")
    for name, kind in (("spec", LatentSpec), ("fingerprint", str)):
        if not isinstance(getattr(loaded, name, None), kind):
            raise UserError(f"{spec}: its {name} is not set; see docs/representations.md")
    return loaded.eval().requires_grad_(False)


def __getattr__(name: str) -> Any:
    if name == "Representation":  # it loads torch, which listing names does not need
        from .base import Representation

        return Representation
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
