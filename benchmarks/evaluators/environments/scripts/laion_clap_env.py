"""LAION's own CLAP package, for its checkpoints that transformers has no port of.

Source: Wu et al. (2023), arXiv:2211.06687; laion-clap 1.1.7. The package crops long clips at random; here it gets
windows of at most 10 s, of which none is cropped. Shorter ones it repeats, as in its training. It looks up three
tokenizers on the Hugging Face hub when imported, so it needs a network or a filled hub cache (HF_HOME).
"""

# /// script
# requires-python = ">=3.11"
# dependencies = [
#   "torch==2.6.0", "torchaudio==2.6.0", "torchvision==0.21.0", "numpy==1.26.4", "safetensors==0.8.0",
#   "transformers==4.57.1", "laion-clap==1.1.7",
# ]
#
# [tool.bench]
# about = "laion-clap: text-audio similarity and embeddings from LAION's checkpoints"
# licence = "CC0-1.0; weights: see their hub page"
# window-seconds = 10.0
# sample-rate = 48000
# check = "hear"
# weights = "https://huggingface.co/lukewys/laion_clap/resolve/main/music_audioset_epoch_15_esc_90.14.pt"
# ///

from __future__ import annotations

import contextlib
import io
import sys

import numpy as np
from exchange import Reply, Request, ScriptError, digest, serve

WEIGHTS = "https://huggingface.co/lukewys/laion_clap/resolve/main/music_audioset_epoch_15_esc_90.14.pt"


def hear(request: Request) -> Reply:
    """Embeddings (n, 512) of windows of at most 10 s at 48 kHz and, under "text", of the captions."""
    import torch

    sys.argv = sys.argv[:1]  # the package reads the command line
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            import laion_clap
    except Exception as error:  # without a hub: a dozen kinds
        reason = " ".join(str(error).split())[:120]
        raise ScriptError(
            f"cannot import laion_clap, which looks up tokenizers on a hub: {reason}; set HF_HOME"
        ) from error
    torch.manual_seed(0)
    with contextlib.redirect_stdout(io.StringIO()):
        model = laion_clap.CLAP_Module(enable_fusion=False, amodel="HTSAT-base", device="cpu")
        if not request.random:
            model.load_ckpt(str(request.file(WEIGHTS)), verbose=False)
    model.eval()
    with torch.inference_mode():
        # 16-bit steps, as the package's own file reader takes them
        steps = [
            (np.clip(clip, -1, 1) * 32767.0).astype(np.int16).astype(np.float32) / 32767.0 for clip in request.clips
        ]
        audio = [model.get_audio_embedding_from_data(x=step[None], use_tensor=False)[0] for step in steps]
        arrays = {"embedding": np.stack(audio).astype(np.float64)}
        if request.captions:
            texts = [model.get_text_embedding([caption, ""])[0] for caption in request.captions]  # it wants two or more
            arrays["text"] = np.stack(texts).astype(np.float64)
    return Reply(arrays, digest(model))


if __name__ == "__main__":
    serve({"hear": hear}, ["torch", "numpy", "transformers", "laion-clap"])
