"""fadtk: embeddings of VGGish and its other networks, its Frechet distance, and its FMA-Pop reference statistics.

Source: Gui et al. (2024), arXiv:2311.01616; fadtk 1.1.0. Tasks:

- evaluate: one embedding per clip, the mean over the frames of fadtk's network (in float32; fadtk stores float16);
- frechet: fadtk's distance between the arrays "reference" (n, d) and "generated" (m, d), a golden value for ours;
- fma_pop: fadtk's distance, over the frames of all clips, between the clips and FMA-Pop.

``weights`` is a torch hub folder (vggish: harritaylor_torchvggish_master/ and checkpoints/; encodec-emb: checkpoints/)
or, for the networks of transformers, a checkpoint folder.
"""

# /// script
# requires-python = ">=3.11"
# dependencies = [
#   "torch==2.13.0", "numpy==2.4.6", "scipy==1.17.1", "safetensors==0.8.0", "soundfile==0.14.0", "librosa==0.11.0",
#   "transformers==5.23.0", "einops==0.8.2", "resampy==0.4.2", "tqdm==4.70.1", "rich==15.0.0", "setuptools==80.10.2",
#   "hypy_utils==1.0.29", "torchaudio==2.11.0", "encodec==0.1.1", "fadtk==1.1.0",
# ]
#
# [tool.bench]
# about = "fadtk: VGGish and its other networks; FMA-Pop statistics; its Frechet distance"
# licence = "MIT; MERT and encodec CC BY-NC 4.0 (non-commercial), other networks their own"
# no-deps = ["hypy_utils", "torchaudio", "encodec", "fadtk"]
# check = "frechet"
# weights = "by the network: torch hub (vggish, encodec-emb) or Hugging Face"
#
# [tool.bench.models]
# vggish = 16000
# encodec-emb = 24000
# MERT-v1-95M = 24000
# w2v2-base = 16000
# hubert-base = 16000
# wavlm-base = 16000
# ///

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from exchange import Reply, Request, ScriptError, digest, import_torchaudio, serve


def evaluate(request: Request) -> Reply:
    """Embeddings (n, d), each the mean over a clip's frames."""
    loader = _loader(request)
    return Reply({"embedding": np.stack([frames.mean(0) for frames in _frames(loader, request)])}, digest(loader.model))


def frechet(request: Request) -> Reply:
    """fadtk's distance between two sets of embeddings."""
    import_torchaudio()
    from fadtk.fad import calc_embd_statistics, calc_frechet_distance

    sets = [calc_embd_statistics(request.arrays[name]) for name in ("reference", "generated")]
    return Reply({}, facts={"frechet": float(calc_frechet_distance(*sets[0], *sets[1]))})


def fma_pop(request: Request) -> Reply:
    """fadtk's distance between all frames of the clips and FMA-Pop."""
    import_torchaudio()
    from fadtk.fad import FrechetAudioDistance, calc_embd_statistics, calc_frechet_distance

    loader = _loader(request)
    frames = np.concatenate(_frames(loader, request))
    if len(frames) < 2 * frames.shape[1]:
        raise ScriptError(f"{len(frames)} frames for a covariance of {frames.shape[1]} dimensions; give more clips")
    reference = FrechetAudioDistance(loader, load_model=False).load_stats("fma_pop")
    value = calc_frechet_distance(*reference, *calc_embd_statistics(frames))
    return Reply({}, digest(loader.model), {"frechet": float(value), "frames": len(frames)})


def _loader(request: Request) -> Any:
    """fadtk's loader of ``request.model``, with the network loaded, random where that is requested and possible."""
    import torch

    import_torchaudio()
    from fadtk import model_loader as zoo

    makers: dict[str, Callable[[], Any]] = {
        "vggish": zoo.VGGishModel,
        "encodec-emb": lambda: zoo.EncodecEmbModel("24k"),
        "MERT-v1-95M": zoo.MERTModel,
        "w2v2-base": lambda: zoo.W2V2Model("base", 12),
        "hubert-base": lambda: zoo.HuBERTModel("base", 12),
        "wavlm-base": lambda: zoo.WavLMModel("base", 12),
    }
    loader = makers[request.model]()
    loader.device = torch.device("cpu")
    torch.manual_seed(0)
    if request.random:
        from encodec import EncodecModel

        if request.model != "encodec-emb":
            raise ScriptError(f"{request.model} has no random weights here; encodec-emb has")
        loader.model = EncodecModel.encodec_model_24khz(pretrained=False)
    else:
        _load(loader, request)
    loader.model.eval()
    return loader


def _load(loader: Any, request: Request) -> None:
    """Weights from a local folder, or downloaded by fadtk."""
    import torch

    folder = request.weights or request.folder
    if hasattr(loader, "huggingface_id"):
        loader.huggingface_id = str(request.weights or loader.huggingface_id)
    else:
        folder.mkdir(parents=True, exist_ok=True)
        torch.hub.set_dir(str(folder))
        (folder / "trusted_list").write_text("harritaylor_torchvggish\n")  # or torch.hub would ask at the keyboard
    try:
        loader.load_model()
    except Exception as error:  # hubs raise many kinds
        reason = " ".join(str(error).split())[:160] or type(error).__name__
        raise ScriptError(f"cannot load {request.model}: {reason}; put its files under {folder}") from error


def _frames(loader: Any, request: Request) -> list[np.ndarray]:
    """Outputs (t, d) of the network for the t frames of each clip."""
    import torch

    frames = []
    with torch.inference_mode():
        for clip in request.clips:
            if request.model == "encodec-emb":
                out = loader._get_embedding(torch.from_numpy(clip)[None, None])
            else:
                out = loader._get_embedding(loader.enforce_min_len(clip))
            frames.append(np.atleast_2d(out.cpu().double().numpy()))
    return frames


if __name__ == "__main__":
    serve(
        {"evaluate": evaluate, "frechet": frechet, "fma_pop": fma_pop},
        ["torch", "numpy", "scipy", "transformers", "fadtk"],
    )
