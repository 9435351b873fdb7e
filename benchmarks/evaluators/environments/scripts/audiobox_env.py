"""Audiobox Aesthetics: content enjoyment (CE), usefulness (CU), production complexity (PC) and quality (PQ), 1 to 10.

Source: Tjandra et al. (2025), arXiv:2502.05139; audiobox-aesthetics 0.0.4. The package splits a clip into
windows itself (10 s, the last one weighted by its length). The embedding is the input of its PQ head: WavLM's layers,
averaged over time.
"""

# /// script
# requires-python = ">=3.11"
# dependencies = [
#   "torch==2.13.0", "numpy==2.4.6", "safetensors==0.8.0", "huggingface-hub==2.4.0", "rich==15.0.0", "tqdm==4.70.1",
#   "requests==2.34.2", "submitit==1.5.4", "torchaudio==2.11.0", "audiobox-aesthetics==0.0.4",
# ]
#
# [tool.bench]
# about = "Audiobox Aesthetics: PQ, PC, CE, CU per clip"
# licence = "code and weights CC BY 4.0"
# sample-rate = 16000
# no-deps = ["torchaudio", "audiobox-aesthetics"]
# check = "evaluate"
# weights = "https://dl.fbaipublicfiles.com/audiobox-aesthetics/checkpoint.pt"
# ///

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from exchange import Reply, Request, ScriptError, checkpoint, digest, import_torchaudio, serve

WEIGHTS = "https://dl.fbaipublicfiles.com/audiobox-aesthetics/checkpoint.pt"
AXES = ("CE", "CU", "PC", "PQ")


def evaluate(request: Request) -> Reply:
    """Scores (n,) on four axes and embeddings (n, 768) of clips at 16 kHz."""
    import torch

    predictor = _predictor(request)
    scores: dict[str, list[float]] = {axis: [] for axis in AXES}
    windows: list[torch.Tensor] = []  # one (windows, 768) for each forward pass of a clip
    quality = predictor.model.proj_layer["PQ"]
    quality.register_forward_pre_hook(lambda module, inputs: windows.append(inputs[0].detach()))
    embedding = []
    for clip in request.clips:
        windows.clear()
        row = predictor.forward([{"path": torch.from_numpy(clip)[None], "sample_rate": request.sample_rate}])[0]
        for axis in AXES:
            scores[axis].append(float(row[axis]))
        embedding.append(torch.cat(windows).double().mean(0).numpy())
    arrays = {f"score/{axis.lower()}": np.array(values) for axis, values in scores.items()}
    return Reply({"embedding": np.stack(embedding), **arrays}, digest(predictor.model))


def _predictor(request: Request) -> Any:
    import torch

    import_torchaudio()
    from audiobox_aesthetics.infer import AesPredictor

    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as folder:
        path = _random_checkpoint(Path(folder)) if request.random else request.file(WEIGHTS)
        state = checkpoint(path)
        if not isinstance(state, dict) or not {"state_dict", "model_cfg", "target_transform"} <= state.keys():
            raise ScriptError(f"{path.name} is not a checkpoint of Audiobox Aesthetics; give its checkpoint.pt")
        try:
            return AesPredictor(checkpoint_pth=str(path))
        except (RuntimeError, KeyError) as error:
            raise ScriptError(
                f"{path.name} holds another network's weights: {' '.join(str(error).split())[:160]}"
            ) from error


def _random_checkpoint(folder: Path) -> Path:
    """A checkpoint of the published format and shape with random weights."""
    import torch
    from audiobox_aesthetics.model.aes import AesMultiOutput

    config = {
        "proj_num_layer": 5, "proj_ln": True, "proj_act_fn": "gelu", "proj_dropout": 0.0, "nth_layer": 13,
        "use_weighted_layer_sum": True, "precision": "32", "normalize_embed": True, "output_dim": 1,
    }  # fmt: skip
    transform = {axis: {"mean": 5.0, "std": 1.5} for axis in AXES}
    model = AesMultiOutput(**config, target_transform=transform)
    content = {"state_dict": model.state_dict(), "model_cfg": config, "target_transform": transform}
    torch.save(content, folder / "random.pt")
    return folder / "random.pt"


if __name__ == "__main__":
    serve({"evaluate": evaluate}, ["torch", "torchaudio", "audiobox-aesthetics"])
