"""PaSST: AudioSet class probabilities for KL and Inception Score, and embeddings (768).

Source: Koutini et al. (2022), arXiv:2110.05069; hear21passt 0.0.26, its default network (mAP .476, SWA). Clips are
split into windows of 10 s, the length of its training clips. The probabilities are a softmax over its logits, as in
AudioCraft's and Stable Audio's KL.
"""

# /// script
# requires-python = ">=3.11"
# dependencies = [
#   "torch==2.13.0", "numpy==2.4.6", "safetensors==0.8.0", "torchaudio==2.11.0", "hear21passt==0.0.26",
# ]
#
# [tool.bench]
# about = "PaSST: KL and Inception Score over 527 AudioSet classes"
# licence = "Apache-2.0"
# sample-rate = 32000
# window-seconds = 10.0
# no-deps = ["torchaudio", "hear21passt"]
# check = "evaluate"
# weights = "https://github.com/kkoutini/PaSST/releases/download/v0.0.1-audioset/passt-s-f128-p16-s10-ap.476-swa.pt"
# ///

from __future__ import annotations

import contextlib
import io
import sys
import types

import numpy as np
from exchange import Reply, Request, checkpoint, digest, fill, import_torchaudio, serve

RELEASE = "https://github.com/kkoutini/PaSST/releases/download/v0.0.1-audioset/"
WEIGHTS = RELEASE + "passt-s-f128-p16-s10-ap.476-swa.pt"
CLASSES = 527


def evaluate(request: Request) -> Reply:
    """Embeddings (n, 768) and class probabilities (n, 527) of windows of at most 10 s at 32 kHz."""
    import torch

    import_torchaudio()
    sys.modules.update(_no_timm())
    from hear21passt.models.passt import get_model
    from hear21passt.models.preprocess import AugmentMelSTFT
    from hear21passt.wrapper import PasstBasicWrapper

    torch.manual_seed(0)
    mel = AugmentMelSTFT(
        n_mels=128, sr=32000, win_length=800, hopsize=320, n_fft=1024, freqm=48, timem=192, htk=False, fmin=0.0,
        fmax=None, norm=1, fmin_aug_range=10, fmax_aug_range=2000,
    )  # fmt: skip
    with contextlib.redirect_stdout(io.StringIO()):  # the package prints its network
        net = get_model(arch="passt_s_swa_p16_128_ap476", pretrained=False)
    if not request.random:
        path = request.file(WEIGHTS)
        fill(net, checkpoint(path), path.name)
    model = PasstBasicWrapper(mel=mel, net=net, mode="all").eval()
    embedding, tags = [], []
    with torch.inference_mode(), contextlib.redirect_stdout(io.StringIO()):
        for clip in request.clips:
            out = model(torch.from_numpy(clip)[None])[0].double()
            tags.append(out[:CLASSES].softmax(0).numpy())
            embedding.append(out[CLASSES:].numpy())
    return Reply({"embedding": np.stack(embedding), "posterior/tags": np.stack(tags)}, digest(net))


def _no_timm() -> dict[str, types.ModuleType]:
    """Stand-ins for timm, of which the package uses only a download function, and whose import needs torchvision."""
    modules = {name: types.ModuleType(name) for name in ("timm", "timm.models", "timm.models._hub")}
    modules["timm.models._hub"].download_cached_file = None  # type: ignore[attr-defined]
    return modules


if __name__ == "__main__":
    serve({"evaluate": evaluate}, ["torch", "torchaudio", "hear21passt"])
