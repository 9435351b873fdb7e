"""LAION's own CLAP package, for its checkpoints without a port to transformers.

Source: Wu et al. (2023), arXiv:2211.06687; laion-clap 1.1.7. The package crops long clips at random; here it is
given windows of at most 10 s, which it does not crop. It repeats shorter ones, as in its training. Its import loads
three tokenizers and RoBERTa from the Hugging Face hub, so it needs a network or a filled hub cache (HF_HOME). Its own
loader unpickles code; checkpoints are read here without that. torchvision, which only images need, is replaced by
empty modules where it cannot be imported.
"""

# /// script
# requires-python = ">=3.11"
# dependencies = [
#   "torch==2.13.0", "numpy==2.4.6", "scipy==1.17.1", "pandas==3.1.1", "scikit-learn==1.9.1", "librosa==0.11.0",
#   "soundfile==0.14.0", "safetensors==0.8.0", "transformers==5.23.0", "tqdm==4.70.1", "regex==2026.11.15",
#   "h5py==3.16.0", "ftfy==6.3.1", "wcwidth==0.9.4", "webdataset==1.0.2", "braceexpand==0.1.7", "wget==3.2",
#   "setuptools==80.10.2", "torchlibrosa==0.1.0", "torchaudio==2.11.0", "laion-clap==1.1.7",
# ]
#
# [tool.bench]
# about = "laion-clap: text-audio similarity and embeddings from LAION's checkpoints"
# licence = "CC0-1.0; weights: see their hub page"
# window-seconds = 10.0
# sample-rate = 48000
# no-deps = ["torchlibrosa", "torchaudio", "laion-clap"]
# check = "evaluate"
# weights = "https://huggingface.co/lukewys/laion_clap/resolve/main/music_audioset_epoch_15_esc_90.14.pt"
# ///

from __future__ import annotations

import contextlib
import io
import sys
import types
from typing import Any

import numpy as np
from exchange import Reply, Request, ScriptError, checkpoint, digest, fill, import_torchaudio, serve

WEIGHTS = "https://huggingface.co/lukewys/laion_clap/resolve/main/music_audioset_epoch_15_esc_90.14.pt"


def evaluate(request: Request) -> Reply:
    """Embeddings (n, 512) of windows of at most 10 s at 48 kHz and, under "text", of the captions."""
    import torch

    clap = _network()
    if not request.random:
        path = request.file(WEIGHTS)
        content = checkpoint(path)
        state = {name.removeprefix("module."): tensor for name, tensor in content.get("state_dict", content).items()}
        state.pop("text_branch.embeddings.position_ids", None)  # a buffer of older versions of transformers
        fill(clap.model, state, path.name)
    clap.eval()
    with torch.inference_mode():
        audio = [clap.get_audio_embedding_from_data(x=_in_16_bits(clip)[None])[0] for clip in request.clips]
        arrays = {"embedding": np.stack(audio).astype(np.float64)}
        if request.captions:
            texts = [clap.get_text_embedding([caption, ""])[0] for caption in request.captions]  # it needs two or more
            arrays["text"] = np.stack(texts).astype(np.float64)
    return Reply(arrays, digest(clap.model))


def _in_16_bits(clip: np.ndarray) -> np.ndarray:
    """A clip rounded to 16 bits, as by the package's own reader."""
    return np.asarray((np.clip(clip, -1, 1) * 32767).astype(np.int16).astype(np.float32) / 32767)


def _network() -> Any:
    """The package's network, whose audio part has random weights."""
    import_torchaudio()
    import torch
    import transformers

    for name in ("BertModel", "RobertaModel", "BartModel", "RobertaTokenizer"):
        getattr(transformers, name)  # before the stand-in for torchvision exists, which transformers would find
    _import_torchvision()
    sys.argv = sys.argv[:1]  # the package reads the command line
    torch.manual_seed(0)
    with contextlib.redirect_stdout(io.StringIO()):
        try:
            import laion_clap

            return laion_clap.CLAP_Module(enable_fusion=False, amodel="HTSAT-base", device="cpu")
        except OSError as error:
            reason = " ".join(str(error).split())[:120]
            raise ScriptError(f"no hub for laion_clap's tokenizers and RoBERTa: {reason}; set HF_HOME") from error


def _import_torchvision() -> None:
    try:
        import torchvision  # noqa: F401
    except (ImportError, OSError, RuntimeError):
        names = ["Normalize", "Compose", "RandomResizedCrop", "InterpolationMode", "ToTensor", "Resize", "CenterCrop"]
        for name in ("torchvision", "torchvision.transforms", "torchvision.datasets", "torchvision.ops"):
            sys.modules[name] = types.ModuleType(name)
        for child in ("transforms", "datasets", "ops"):
            setattr(sys.modules["torchvision"], child, sys.modules[f"torchvision.{child}"])
        sys.modules["torchvision.transforms"].__dict__.update(dict.fromkeys(names, object))
        misc = sys.modules["torchvision.ops.misc"] = types.ModuleType("torchvision.ops.misc")
        misc.__dict__["FrozenBatchNorm2d"] = type("FrozenBatchNorm2d", (), {})


if __name__ == "__main__":
    serve({"evaluate": evaluate}, ["torch", "numpy", "transformers", "laion-clap"])
