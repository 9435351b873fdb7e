"""MusicGen checkpoints of transformers as ``ar`` models, and back.

The two are one architecture under two sets of names; here query, key and value are one matrix, and so are the heads of
the codebooks. ``enc_to_dec_proj``, which projects the text encoder's embeddings to the decoder's width, is the
``text_conditioner`` here. transformers is imported inside functions, since it is heavy and few runs need it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ..backbones import BackboneConfig
from ..common.errors import UserError
from ..common.lines import count
from ..representations.spec import LatentSpec
from ..representations.text.encoders import TextSpec
from .ar import AR, AROptions

if TYPE_CHECKING:
    from transformers import MusicgenForCausalLM


def from_musicgen(source: Path | str, latent: LatentSpec, text: TextSpec) -> AR:
    """The ``ar`` model that gives the same logits as a MusicGen checkpoint.

    Args:
        source: folder or hub id of a ``MusicgenForConditionalGeneration``, or of its decoder (``MusicgenForCausalLM``).
        latent: the codec's; codebooks and cardinality must be the checkpoint's.
        text: the text encoder's, of kind ``embeddings``. For a decoder alone, as wide as the decoder.

    Raises:
        UserError: no such checkpoint, another architecture, or a latent or text that does not fit.
    """
    decoder, projection = _read(str(source))
    config = decoder.config
    if config.audio_channels != 1 or config.activation_function != "gelu":
        raise UserError(f"{source}: only mono MusicGen decoders with gelu can be loaded; choose another checkpoint")
    if (config.num_codebooks, config.vocab_size) != (latent.codebooks, latent.cardinality):
        raise UserError(
            f"{source} has {count(config.num_codebooks, 'codebook')} of {config.vocab_size}, the latent "
            f"{latent.name!r} {latent.codebooks} of {latent.cardinality}; give the codec that it was trained with"
        )
    width = projection["weight"].shape[1]
    if (text.kind, text.dim) != ("embeddings", width):
        raise UserError(
            f"{source} reads text embeddings of width {width}, not {text.kind} of width {text.dim}; "
            "give the text encoder that it was trained with"
        )
    model = AR(AROptions(), backbone_config(config), latent, text)
    state = from_their_names(decoder.state_dict(), config.num_hidden_layers, config.num_codebooks)
    state |= {f"text_conditioner.projection.{name}": tensor for name, tensor in projection.items()}
    model.load_state_dict(state)
    return model.eval()


def to_musicgen(model: AR) -> MusicgenForCausalLM:
    """The transformers decoder that gives the same logits, with the text conditioner's output as encoder states.

    Raises:
        UserError: the backbone has options that MusicGen lacks.
    """
    from transformers import MusicgenDecoderConfig, MusicgenForCausalLM

    shape, special = model.backbone_config, model.latent.cardinality
    if (shape.positions, shape.text, shape.skips) != ("sinusoidal", "cross", False):
        raise UserError(
            "MusicGen has sinusoidal positions, text by cross-attention and no skips; this model cannot be exported"
        )
    decoder: MusicgenForCausalLM = MusicgenForCausalLM(
        MusicgenDecoderConfig(
            vocab_size=special,
            num_codebooks=model.codebooks,
            hidden_size=shape.d_model,
            num_hidden_layers=shape.n_layers,
            num_attention_heads=shape.n_heads,
            ffn_dim=shape.d_ff,
            pad_token_id=special,
            bos_token_id=special,
            dropout=0.0,
        )
    )
    decoder.load_state_dict(to_their_names(model.state_dict(), shape.n_layers, model.codebooks))
    decoder.eval()
    return decoder


def backbone_config(config: Any) -> BackboneConfig:
    """The backbone's shape in a ``MusicgenDecoderConfig``."""
    return BackboneConfig(
        d_model=config.hidden_size,
        n_layers=config.num_hidden_layers,
        n_heads=config.num_attention_heads,
        d_ff=config.ffn_dim,
    )


def from_their_names(theirs: Mapping[str, Tensor], layers: int, codebooks: int) -> dict[str, Tensor]:
    """Weights of ``MusicgenForCausalLM`` under the names of ``AR``, those of its text conditioner left out."""
    return {ours: torch.cat([theirs[name] for name in names]) for ours, names in _correspondence(layers, codebooks)}


def to_their_names(ours: Mapping[str, Tensor], layers: int, codebooks: int) -> dict[str, Tensor]:
    """Weights of ``AR`` under the names of ``MusicgenForCausalLM``."""
    return {
        name: part.contiguous()
        for our_name, names in _correspondence(layers, codebooks)
        for name, part in zip(names, ours[our_name].chunk(len(names)))
    }


def _correspondence(layers: int, codebooks: int) -> Iterator[tuple[str, list[str]]]:
    """The name of a tensor of ``AR``, and the names of the MusicGen tensors that it concatenates on dim 0."""
    for k in range(codebooks):
        yield f"embeddings.{k}.weight", [f"model.decoder.embed_tokens.{k}.weight"]
    for i in range(layers):
        ours, theirs = f"backbone.blocks.{i}", f"model.decoder.layers.{i}"
        yield f"{ours}.self_attention.qkv.weight", [f"{theirs}.self_attn.{p}_proj.weight" for p in "qkv"]
        yield f"{ours}.self_attention.out.weight", [f"{theirs}.self_attn.out_proj.weight"]
        yield f"{ours}.cross_attention.q.weight", [f"{theirs}.encoder_attn.q_proj.weight"]
        yield f"{ours}.cross_attention.kv.weight", [f"{theirs}.encoder_attn.{p}_proj.weight" for p in "kv"]
        yield f"{ours}.cross_attention.out.weight", [f"{theirs}.encoder_attn.out_proj.weight"]
        yield f"{ours}.ff_in.weight", [f"{theirs}.fc1.weight"]
        yield f"{ours}.ff_out.weight", [f"{theirs}.fc2.weight"]
        norms = {
            "norm_self": "self_attn_layer_norm",
            "norm_cross": "encoder_attn_layer_norm",
            "norm_ff": "final_layer_norm",
        }
        for our_norm, their_norm in norms.items():
            for part in ("weight", "bias"):
                yield f"{ours}.{our_norm}.{part}", [f"{theirs}.{their_norm}.{part}"]
    for part in ("weight", "bias"):
        yield f"backbone.norm_out.{part}", [f"model.decoder.layer_norm.{part}"]
    yield "head.weight", [f"lm_heads.{k}.weight" for k in range(codebooks)]


def _read(source: str) -> tuple[MusicgenForCausalLM, dict[str, Tensor]]:
    """The decoder, and the weights of the projection to its width (the identity if the checkpoint has none)."""
    from transformers import AutoConfig, MusicgenForCausalLM, MusicgenForConditionalGeneration

    classes: dict[str, Any] = {"musicgen": MusicgenForConditionalGeneration, "musicgen_decoder": MusicgenForCausalLM}
    try:
        kind = AutoConfig.from_pretrained(source).model_type
        if kind not in classes:
            raise UserError(f"{source} is a {kind!r} checkpoint, not MusicGen's; choose another")
        model = classes[kind].from_pretrained(source, dtype=torch.float32, use_safetensors=True)
    except (OSError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise UserError(f"cannot read a MusicGen checkpoint from {source}: {reason}") from error
    decoder = model if kind == "musicgen_decoder" else model.decoder
    if kind == "musicgen" and hasattr(model, "enc_to_dec_proj"):
        return decoder, dict(model.enc_to_dec_proj.state_dict())
    width = decoder.config.hidden_size
    return decoder, {"weight": torch.eye(width), "bias": torch.zeros(width)}
