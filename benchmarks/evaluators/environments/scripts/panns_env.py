"""PANNs' Cnn14: embeddings (2048) and 527 AudioSet probabilities, as in the papers on AudioLDM.

Source: Kong et al. (2020), arXiv:1912.10211; panns-inference 0.1.1. The probabilities are the network's sigmoids,
scaled to sum to 1 for KL and Inception Score. The import of the package downloads a list of class names; it is given a
home folder with a list of numbers instead, because no name is used.
"""

# /// script
# requires-python = ">=3.11"
# dependencies = [
#   "torch==2.13.0", "numpy==2.4.6", "scipy==1.17.1", "librosa==0.11.0", "matplotlib==3.11.2", "safetensors==0.8.0",
#   "torchlibrosa==0.1.0", "panns-inference==0.1.1",
# ]
#
# [tool.bench]
# about = "PANNs Cnn14: Frechet distance, KL and Inception Score, as audioldm_eval"
# licence = "MIT; weights CC BY 4.0"
# sample-rate = 32000
# no-deps = ["torchlibrosa", "panns-inference"]
# check = "evaluate"
# weights = "https://zenodo.org/record/3987831/files/Cnn14_mAP%3D0.431.pth"
# ///

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import numpy as np
from exchange import Reply, Request, ScriptError, checkpoint, digest, fill, serve

WEIGHTS = "https://zenodo.org/record/3987831/files/Cnn14_mAP%3D0.431.pth"
CLASSES = 527


def evaluate(request: Request) -> Reply:
    """Embeddings (n, 2048) and class probabilities (n, 527) of whole clips at 32 kHz."""
    import torch

    with tempfile.TemporaryDirectory() as home:
        labels = Path(home, "panns_data", "class_labels_indices.csv")
        labels.parent.mkdir()
        labels.write_text("index,mid,display_name\n" + "".join(f"{i},{i},{i}\n" for i in range(CLASSES)))
        os.environ["HOME"] = home
        from panns_inference.models import Cnn14
    torch.manual_seed(0)
    shape = {"sample_rate": 32000, "window_size": 1024, "hop_size": 320, "mel_bins": 64, "fmin": 50, "fmax": 14000}
    model = Cnn14(**shape, classes_num=CLASSES).eval()
    if not request.random:
        path = request.file(WEIGHTS)
        state = checkpoint(path)
        if not isinstance(state, dict) or "model" not in state:
            raise ScriptError(f"{path.name} is not a checkpoint of PANNs; give Cnn14_mAP=0.431.pth")
        fill(model, state["model"], path.name)
    embedding, tags = [], []
    with torch.inference_mode():
        for clip in request.clips:
            out = model(torch.from_numpy(clip)[None], None)
            embedding.append(out["embedding"][0].double().numpy())
            tags.append(out["clipwise_output"][0].double().numpy())
    tags_NC = np.stack(tags)
    tags_NC /= tags_NC.sum(1, keepdims=True)
    return Reply({"embedding": np.stack(embedding), "posterior/tags": tags_NC}, digest(model))


if __name__ == "__main__":
    serve({"evaluate": evaluate}, ["torch", "torchlibrosa", "panns-inference"])
