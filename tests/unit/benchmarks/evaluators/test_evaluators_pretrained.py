"""CLAP and EnCodec as evaluators, with small random checkpoints in the published format."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import ClapConfig, ClapFeatureExtractor, ClapModel, ClapProcessor, EncodecConfig, EncodecModel
from transformers import RobertaTokenizer as Tokenizer

from paradigm_bench.benchmarks.evaluators import get_evaluator
from paradigm_bench.common.errors import UserError

RATE = 16_000
WORDS = ["a", "slow", "fast", "blues", "drone", "i", "n", "o"]
CAPTIONS = ["a slow drone", "a fast blues", "a slow blues"]


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PARADIGM_BENCH_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="session")
def clap_folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Random CLAP checkpoints, as the two kinds are published: without and with feature fusion."""
    root = tmp_path_factory.mktemp("clap")
    return {"unfused": save_clap(root / "tiny-unfused", False), "fused": save_clap(root / "tiny-fused", True)}


def save_clap(folder: Path, fusion: bool) -> Path:
    """Windows of 2 s at 16 kHz, embeddings of 16."""
    torch.manual_seed(0)
    vocabulary = {piece: i for i, piece in enumerate(["<s>", "<pad>", "</s>", "<unk>", "<mask>", *WORDS])}
    text = {"vocab_size": len(vocabulary), "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    audio = {
        "spec_size": 64, "num_mel_bins": 32, "hidden_size": 64, "patch_embeds_hidden_size": 8, "depths": [1, 1, 1, 1],
        "num_attention_heads": [1, 1, 1, 1], "window_size": 2, "enable_fusion": fusion, "num_classes": 4,
    }  # fmt: skip
    text |= {"intermediate_size": 16, "max_position_embeddings": 32, "projection_dim": 16}
    model = ClapModel(ClapConfig(text_config=text, audio_config=audio | {"projection_dim": 16}, projection_dim=16))
    for module in model.modules():
        if isinstance(module, torch.nn.Linear):  # the published scale would leave random towers almost constant
            torch.nn.init.normal_(module.weight, std=0.3)
    features = ClapFeatureExtractor(
        feature_size=32, sampling_rate=RATE, hop_length=320, max_length_s=2, fft_window_size=512, frequency_max=8000,
        truncation="fusion" if fusion else "rand_trunc",
    )  # fmt: skip
    folder.mkdir()
    tokenizer = Tokenizer(vocab=vocabulary, merges=[])
    ClapProcessor(features, tokenizer).save_pretrained(folder)
    model.save_pretrained(folder)
    return folder


def save_encodec(folder: Path, **changes: object) -> Path:
    torch.manual_seed(0)
    small = {"num_filters": 4, "hidden_size": 8, "codebook_size": 16, "upsampling_ratios": [4, 4]}
    config = EncodecConfig(**{**small, "num_lstm_layers": 1, "sampling_rate": RATE, **changes})
    EncodecModel(config).save_pretrained(folder)
    return folder


def clips(*seconds: float) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.standard_normal(int(RATE * s)).astype(np.float32).cumsum() * 0.01 for s in seconds]


@pytest.mark.parametrize("kind", ["unfused", "fused"])
def test_a_clip_of_one_window_is_what_transformers_makes_of_it(clap_folders: dict[str, Path], kind: str) -> None:
    wav, caption = clips(2.0)[0], "a slow drone"
    output = get_evaluator(f"clap:{clap_folders[kind]}").evaluate([wav], RATE, [caption])
    audio_D = by_transformers(clap_folders[kind], peaked(wav))
    model, processor = (c.from_pretrained(clap_folders[kind]) for c in (ClapModel, ClapProcessor))
    with torch.no_grad():
        text = model.eval().get_text_features(**processor.tokenizer([caption], return_tensors="pt"))
    np.testing.assert_allclose(output.embeddings[0], audio_D, atol=1e-5)
    assert output.similarity is not None
    np.testing.assert_allclose(output.similarity[0], audio_D @ text.pooler_output[0].numpy(), atol=1e-5)


def peaked(wav: np.ndarray) -> np.ndarray:
    return (wav * (10 ** (-1 / 20) / np.abs(wav).max())).astype(np.float32)


def by_transformers(folder: Path, window: np.ndarray) -> np.ndarray:
    model, processor = (c.from_pretrained(folder) for c in (ClapModel, ClapProcessor))
    inputs = processor.feature_extractor(window, sampling_rate=RATE, return_tensors="pt").input_features.float()
    with torch.no_grad():
        return model.eval().get_audio_features(inputs, torch.tensor([[False]])).pooler_output[0].numpy()


def test_a_long_clip_is_evaluated_whole_and_always_alike(clap_folders: dict[str, Path], tmp_path: Path) -> None:
    evaluator = get_evaluator(f"clap:{clap_folders['unfused']}")
    wav = clips(5.0)[0]
    output = evaluator.embed([wav], RATE)
    shutil.rmtree(tmp_path / "cache")
    np.random.seed(7)  # the state of numpy's generator, on which a random crop hangs
    np.testing.assert_array_equal(output, evaluator.embed([wav], RATE))
    loud = peaked(wav)
    windows = [loud[:32000], loud[32000:64000], loud[-32000:]]
    expected = np.mean([by_transformers(clap_folders["unfused"], window) for window in windows], axis=0)
    np.testing.assert_allclose(output[0], expected, atol=1e-5)
    changed = wav.copy()
    changed[70_000:72_000] = 0.0  # a random crop would often miss it
    assert np.abs(output - evaluator.embed([changed], RATE)).max() > 1e-4


def test_order_batch_and_neighbours_change_nothing(clap_folders: dict[str, Path], tmp_path: Path) -> None:
    evaluator = get_evaluator(f"clap:{clap_folders['fused']}")
    audio = clips(0.7, 2.0, 4.5)
    together = evaluator.evaluate(audio, RATE, CAPTIONS)
    shutil.rmtree(tmp_path / "cache")
    for i in (2, 0, 1):
        alone = evaluator.evaluate([audio[i]], RATE, [CAPTIONS[i]])
        np.testing.assert_array_equal(alone.embeddings[0], together.embeddings[i])
        assert alone.similarity is not None
        assert together.similarity is not None
        assert alone.similarity[0] == together.similarity[i]
    assert len(np.unique(together.embeddings.round(6), axis=0)) == 3
    assert np.abs(np.diff(together.similarity)).min() > 1e-6


def test_names_and_identity(clap_folders: dict[str, Path], tmp_path: Path) -> None:
    unfused = get_evaluator(f"clap:{clap_folders['unfused']}")
    assert (unfused.name, unfused.checkpoint) == ("clap_tiny_unfused", "tiny-unfused")
    moved = shutil.copytree(clap_folders["unfused"], tmp_path / "elsewhere")
    assert get_evaluator(f"clap:{moved}").identity == unfused.identity
    assert get_evaluator(f"clap:{clap_folders['fused']}").identity != unfused.identity
    for path in moved.glob("*processor_config.json"):
        path.write_text(path.read_text().replace('"repeatpad"', '"pad"'))
    assert get_evaluator(f"clap:{moved}").identity != unfused.identity


def test_encodec_is_the_encoder_averaged_over_time(tmp_path: Path) -> None:
    evaluator = get_evaluator(f"encodec:{save_encodec(tmp_path / 'codec')}")
    wav = clips(0.5)[0]
    output = evaluator.evaluate([wav, clips(0.3)[0]], RATE, ["x", "y"])
    assert (evaluator.name, output.similarity) == ("encodec_16k", None)
    peaked = torch.from_numpy(wav * (10 ** (-1 / 20) / np.abs(wav).max())).float()
    with torch.no_grad():
        z_1DT = EncodecModel.from_pretrained(tmp_path / "codec").eval().encoder(peaked[None, None])
    np.testing.assert_allclose(output.embeddings[0], z_1DT[0].mean(-1), atol=1e-6)


def test_the_cache_goes_by_content(tmp_path: Path) -> None:
    evaluator = get_evaluator(f"encodec:{save_encodec(tmp_path / 'codec')}")
    asked: list[int] = []
    evaluate = evaluator.inner.evaluate
    evaluator.inner.evaluate = lambda audio, *rest: asked.append(len(audio)) or evaluate(audio, *rest)
    audio = clips(0.3, 0.4, 0.5)
    first = evaluator.evaluate(audio, RATE)
    again = evaluator.evaluate([audio[2], audio[0], audio[2]], RATE)
    np.testing.assert_array_equal(again.embeddings, first.embeddings[[2, 0, 2]])
    assert asked == [3]
    louder = audio[0] * np.float32(0.5)  # another recording, though the peak policy makes it sound the same
    evaluator.evaluate([audio[1], louder, louder], RATE)
    assert asked == [3, 1]
    broken = next((tmp_path / "cache").rglob("*.safetensors"))
    broken.write_bytes(b"half a file")
    np.testing.assert_array_equal(evaluator.evaluate(audio, RATE).embeddings, first.embeddings)


def test_wrong_checkpoints_are_named_in_one_line(clap_folders: dict[str, Path], tmp_path: Path) -> None:
    codec = save_encodec(tmp_path / "codec")
    with pytest.raises(UserError, match="is a 'encodec' checkpoint, not 'clap'"):
        get_evaluator(f"clap:{codec}")
    with pytest.raises(UserError, match="give a folder"):
        get_evaluator(f"clap:{tmp_path}/nothing")
    with pytest.raises(UserError, match="48 kHz"):
        get_evaluator(f"encodec:{save_encodec(tmp_path / 'chunked', chunk_length_s=1.0)}")
    partial = shutil.copytree(clap_folders["unfused"], tmp_path / "partial")
    from safetensors.torch import load_file, save_file

    weights = load_file(partial / "model.safetensors")
    weights.pop("audio_projection.linear1.weight")
    save_file(weights, partial / "model.safetensors", {"format": "pt"})
    with pytest.raises(UserError, match=r"lacks 1 tensor, such as audio_projection\.linear1\.weight"):
        get_evaluator(f"clap:{partial}")
    config = json.loads((partial / "config.json").read_text())
    (partial / "config.json").write_text(json.dumps(config | {"model_type": "bert"}))
    with pytest.raises(UserError, match="clap"):
        get_evaluator(f"clap:{partial}")
