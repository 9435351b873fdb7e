"""Meta's audiocraft: its chroma similarity as a cross-check of ours, and a reader of its MusicGen checkpoints.

Source: Copet et al. (2023), arXiv:2306.05284; audiocraft 1.3.0. Tasks:

- chroma: ChromaCosineSimilarityMetric of each pair "reference/<i>" (N,), "generated/<i>" (N,); options n_chroma,
  radix2_exp, argmax (12, 14, true are MusicGen's);
- musicgen: the decoder of a checkpoint (state_dict.bin) under the names of transformers' MusicgenForCausalLM, the
  projection of the text as "enc_to_dec_proj.*", and its shape as facts;
- logits: of audiocraft's LMModel for "codes" (B, K, S) and text embeddings "words" (B, L, C) with "mask".

spaCy, which only an unused text conditioner needs, is replaced by an empty module.
"""

# /// script
# requires-python = ">=3.11"
# dependencies = [
#   "torch==2.13.0", "numpy==2.4.6", "scipy==1.17.1", "safetensors==0.8.0", "soundfile==0.14.0", "librosa==0.11.0",
#   "transformers==5.23.0", "einops==0.8.2", "huggingface-hub==2.4.0", "tqdm==4.70.1", "pyyaml==6.0.3",
#   "setuptools==80.10.2", "hydra-core==1.3.8", "omegaconf==2.3.1", "antlr4-python3-runtime==4.9.3",
#   "colorlog==6.12.0", "hydra-colorlog==1.2.0", "treetable==0.2.6", "retrying==1.4.2", "torchmetrics==1.9.0",
#   "num2words==0.5.14", "lightning-utilities==0.15.3", "docopt==0.6.2", "av==18.1.0", "julius==0.2.8",
#   "cloudpickle==3.1.2", "sentencepiece==0.2.3", "torchaudio==2.11.0", "encodec==0.1.1", "xformers==0.0.35",
#   "dora_search==0.1.13", "flashy==0.0.2", "audiocraft==1.3.0",
# ]
#
# [tool.bench]
# about = "audiocraft: its chroma similarity; importer of MusicGen checkpoints"
# licence = "MIT; MusicGen weights CC BY-NC 4.0 (non-commercial)"
# no-deps = ["torchaudio", "encodec", "xformers", "dora_search", "flashy", "audiocraft"]
# check = "chroma"
# weights = "state_dict.bin of a MusicGen checkpoint, e.g. facebook/musicgen-small"
# ///

from __future__ import annotations

import sys
import types
from typing import Any

import numpy as np
from exchange import Reply, Request, ScriptError, checkpoint, import_torchaudio, serve

SHAPE = ("dim", "num_layers", "num_heads", "hidden_scale", "n_q", "card")
RANDOM = {"dim": 16, "num_layers": 2, "num_heads": 2, "hidden_scale": 4, "n_q": 4, "card": 8}
RANDOM_TEXT = 12


def chroma(request: Request) -> Reply:
    """Chroma similarity of n pairs of clips, as "similarity" (n,)."""
    import torch

    _import_audiocraft()
    from audiocraft.metrics.chroma_cosinesim import ChromaCosineSimilarityMetric

    rate, values = request.sample_rate, []
    for i in range(sum(name.startswith("reference/") for name in request.arrays)):
        metric = ChromaCosineSimilarityMetric(sample_rate=rate, **request.options)
        pair = [torch.from_numpy(request.arrays[f"{kind}/{i}"])[None, None] for kind in ("generated", "reference")]
        metric.update(*pair, torch.tensor([pair[0].shape[-1]]), torch.tensor([rate]))
        values.append(metric.compute())
    return Reply({"similarity": np.array(values, np.float64)})


def musicgen(request: Request) -> Reply:
    """The tensors of the decoder under transformers' names."""
    state, shape = _musicgen(request)
    tensors = {}
    for k in range(shape["n_q"]):
        tensors[f"model.decoder.embed_tokens.{k}.weight"] = state[f"emb.{k}.weight"]
        tensors[f"lm_heads.{k}.weight"] = state[f"linears.{k}.weight"]
    norms = {"norm1": "self_attn_layer_norm", "norm_cross": "encoder_attn_layer_norm", "norm2": "final_layer_norm"}
    attentions = {"self_attn": "self_attn", "cross_attention": "encoder_attn"}
    for i in range(shape["num_layers"]):
        theirs, ours = f"transformer.layers.{i}", f"model.decoder.layers.{i}"
        for name, new in attentions.items():
            for letter, part in zip("qkv", state[f"{theirs}.{name}.in_proj_weight"].chunk(3)):
                tensors[f"{ours}.{new}.{letter}_proj.weight"] = part
            tensors[f"{ours}.{new}.out_proj.weight"] = state[f"{theirs}.{name}.out_proj.weight"]
        for name, new in {"linear1": "fc1", "linear2": "fc2"}.items():
            tensors[f"{ours}.{new}.weight"] = state[f"{theirs}.{name}.weight"]
        for name, new in norms.items():
            tensors |= {f"{ours}.{new}.{part}": state[f"{theirs}.{name}.{part}"] for part in ("weight", "bias")}
    for part in ("weight", "bias"):
        tensors[f"model.decoder.layer_norm.{part}"] = state[f"out_norm.{part}"]
        tensors[f"enc_to_dec_proj.{part}"] = state[f"condition_provider.conditioners.description.output_proj.{part}"]
    return Reply({name: tensor.float().numpy() for name, tensor in tensors.items()}, facts=shape)


def logits(request: Request) -> Reply:
    """Logits of audiocraft's own model, as "logits" (B, K, S, card)."""
    import torch

    state, shape = _musicgen(request)
    model = _language_model(shape)
    text = {n.rpartition(".")[2]: t for n, t in state.items() if ".description.output_proj." in n}
    model.load_state_dict({n: t for n, t in state.items() if not n.startswith("condition_provider.")})
    mask_BL = torch.from_numpy(request.arrays["mask"])
    words_BLC = torch.nn.functional.linear(torch.from_numpy(request.arrays["words"]), text["weight"], text["bias"])
    condition = {"description": (words_BLC * mask_BL[..., None], mask_BL)}
    with torch.inference_mode():
        out = model.eval()(torch.from_numpy(request.arrays["codes"]), [], condition)
    return Reply({"logits": out.numpy()})


def _musicgen(request: Request) -> tuple[dict[str, Any], dict[str, int]]:
    """Weights and shape of a checkpoint, or of a small random model."""
    import torch

    _import_audiocraft()
    if request.random:
        torch.manual_seed(0)
        state = _language_model(RANDOM).state_dict()
        prefix = "condition_provider.conditioners.description.output_proj"
        projection = torch.nn.Linear(RANDOM_TEXT, RANDOM["dim"])
        return state | {f"{prefix}.{n}": t.detach() for n, t in projection.named_parameters()}, RANDOM
    from omegaconf import OmegaConf

    if request.weights is None:
        raise ScriptError("no checkpoint given; give the state_dict.bin of a MusicGen checkpoint")
    package = checkpoint(request.weights)
    if not {"best_state", "xp.cfg"} <= set(package):
        raise ScriptError(f"{request.weights.name} is no MusicGen checkpoint of audiocraft; give its state_dict.bin")
    config = OmegaConf.create(package["xp.cfg"])
    shape = {name: int(config.transformer_lm[name]) for name in SHAPE}
    if list(config.conditioners) != ["description"] or any(
        name.endswith("in_proj_bias") for name in package["best_state"]
    ):
        raise ScriptError(f"{request.weights.name} is not a text-only MusicGen; melody and style models are not read")
    return dict(package["best_state"]), shape


def _language_model(shape: dict[str, int]) -> Any:
    """audiocraft's LMModel as MusicGen configures it, without its text encoder."""
    import torch
    from audiocraft.models.lm import LMModel
    from audiocraft.modules.codebooks_patterns import DelayedPatternProvider
    from audiocraft.modules.conditioners import ConditionFuser, ConditioningProvider

    fuser = ConditionFuser({"cross": ["description"], "prepend": [], "sum": [], "input_interpolate": []})
    provider = DelayedPatternProvider(shape["n_q"])
    return LMModel(
        provider, ConditioningProvider({}), fuser, **shape, norm="layer_norm", norm_first=True, bias_proj=False,
        causal=True, bias_ff=False, bias_attn=False, cross_attention=True, custom=True, activation="gelu",
        dropout=0.0, dtype=torch.float32,
    )  # fmt: skip


def _import_audiocraft() -> None:
    sys.modules.setdefault("spacy", types.ModuleType("spacy"))
    import_torchaudio()
    import audiocraft  # noqa: F401


if __name__ == "__main__":
    serve({"chroma": chroma, "musicgen": musicgen, "logits": logits}, ["torch", "torchaudio", "audiocraft"])
