"""Meta's own encodec package: reconstructions, as a cross-check of ports of the same weights.

Source: Défossez et al. (2022), arXiv:2210.13438; encodec 0.1.1. Task ``reconstruct``: clips at the network's rate
through ``encodec_model_24khz`` (mono) or ``encodec_model_48khz`` (stereo, in normalised chunks of one second). With
random weights the reply also has every array of the network, as "state/<name>", to be loaded into the port.
"""

# /// script
# requires-python = ">=3.11"
# dependencies = [
#   "torch==2.13.0", "numpy==2.4.6", "safetensors==0.8.0", "einops==0.8.2", "setuptools==80.10.2",
#   "torchaudio==2.11.0", "encodec==0.1.1",
# ]
#
# [tool.bench]
# about = "encodec: 24 and 48 kHz reconstructions, a cross-check of transformers' EncodecModel"
# licence = "CC BY-NC 4.0 (non-commercial)"
# no-deps = ["torchaudio", "encodec"]
# check = "reconstruct"
# weights = "https://dl.fbaipublicfiles.com/encodec/v0/encodec_24khz-d7cc33bc.th or encodec_48khz-7e698e3e.th"
#
# [tool.bench.models]
# 24khz = 24000
# 48khz = 48000
# ///

from __future__ import annotations

from typing import Any

from exchange import Reply, Request, checkpoint, digest, fill, import_torchaudio, serve

URL = "https://dl.fbaipublicfiles.com/encodec/v0/"
FILES = {"24khz": "encodec_24khz-d7cc33bc.th", "48khz": "encodec_48khz-7e698e3e.th"}


def reconstruct(request: Request) -> Reply:
    """Per clip (N,) or (channels, N): "wav/<i>" (channels, N) and, for every chunk, "codes/<i>/<chunk>" (K, T)."""
    import torch

    import_torchaudio()
    from encodec import EncodecModel

    name = request.model or "24khz"
    torch.manual_seed(0)
    model = getattr(EncodecModel, f"encodec_model_{name}")(pretrained=False).eval()
    if not request.random:
        path = request.file(URL + FILES[name])
        fill(model, checkpoint(path), path.name)
    else:
        _spread(model)
    model.set_target_bandwidth(request.options.get("kbps", 6.0))
    arrays = {}
    with torch.inference_mode():
        for i, clip in enumerate(request.clips):
            wav_1cN = torch.from_numpy(clip).reshape(1, -1, clip.shape[-1]).expand(1, model.channels, -1)
            frames = model.encode(wav_1cN)
            arrays[f"wav/{i}"] = model.decode(frames)[0, :, : clip.shape[-1]].numpy()
            arrays |= {f"codes/{i}/{j}": codes[0].numpy() for j, (codes, _) in enumerate(frames)}
    if request.random:
        arrays |= {f"state/{key}": tensor.numpy() for key, tensor in model.state_dict().items()}
    return Reply(arrays, digest(model), {"sample_rate": model.sample_rate, "channels": model.channels})


def _spread(model: Any) -> None:
    """Scale random weights so that latents depend on the sound, and fill the codebooks, which are zero when built."""
    import torch

    with torch.no_grad():
        for name, parameter in model.encoder.model[-1].named_parameters():
            if name.endswith("weight_g"):  # the 48 kHz network has a norm instead
                parameter.mul_(20.0)
    for layer in model.quantizer.vq.layers:
        torch.nn.init.normal_(layer._codebook.embed, std=0.1)
        layer._codebook.inited.fill_(1)


if __name__ == "__main__":
    serve({"reconstruct": reconstruct}, ["torch", "torchaudio", "encodec"])
