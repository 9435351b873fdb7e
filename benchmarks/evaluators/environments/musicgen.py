"""Import of MusicGen checkpoints of audiocraft as ``ar`` models, through the audiocraft environment.

The checkpoints hold a pickled configuration beside the weights, so they are read there (without unpickling code), and
only arrays are returned, under the names that transformers has for the same network.
"""

from __future__ import annotations

import torch

from ....backbones import BackboneConfig
from ....common.errors import UserError
from ....common.lines import count
from ....paradigms.ar import AR, AROptions
from ....paradigms.musicgen import from_their_names
from ....representations.spec import LatentSpec
from ....representations.text.encoders import TextSpec
from .environment import get_environment, run


def import_musicgen(checkpoint: str, latent: LatentSpec, text: TextSpec, random: bool = False) -> AR:
    """The ``ar`` model that gives the same logits as a checkpoint of audiocraft.

    Args:
        checkpoint: its ``state_dict.bin``.
        latent: of the codec that it was trained with (32 kHz EnCodec, 4 codebooks of 2048).
        text: of its text encoder (T5 base, width 768).
        random: import a small random model of audiocraft instead, for a check.

    Raises:
        UserError: the environment is not installed, another kind of checkpoint, or a latent or text that does not fit.
    """
    reply = run(get_environment("audiocraft"), "musicgen", {}, weights=checkpoint, random=random)
    shape, theirs = reply.facts, {name: torch.from_numpy(array) for name, array in reply.arrays.items()}
    projection = {part: theirs.pop(f"enc_to_dec_proj.{part}") for part in ("weight", "bias")}
    if (shape["n_q"], shape["card"]) != (latent.codebooks, latent.cardinality):
        raise UserError(
            f"{checkpoint} has {count(shape['n_q'], 'codebook')} of {shape['card']}, the latent {latent.name!r} "
            f"{latent.codebooks} of {latent.cardinality}; give the codec that it was trained with"
        )
    width = projection["weight"].shape[1]
    if (text.kind, text.dim) != ("embeddings", width):
        raise UserError(
            f"{checkpoint} reads text embeddings of width {width}, not {text.kind} of width {text.dim}; "
            "give the text encoder that it was trained with"
        )
    dim, layers = shape["dim"], shape["num_layers"]
    backbone = BackboneConfig(dim, layers, shape["num_heads"], shape["hidden_scale"] * dim)
    model = AR(AROptions(), backbone, latent, text)
    state = from_their_names(theirs, layers, shape["n_q"])
    model.load_state_dict(
        {**state, **{f"text_conditioner.projection.{name}": tensor for name, tensor in projection.items()}}
    )
    return model.eval()
