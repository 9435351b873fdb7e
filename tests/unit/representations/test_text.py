"""Text encoders: the word tokeniser by hand, T5 and CLAP against transformers with small random models from disk."""

from __future__ import annotations

import dataclasses
import warnings
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from torch.nn.functional import normalize
from transformers import ClapConfig, ClapModel, PreTrainedTokenizerFast, T5Config, T5EncoderModel

from paradigm_bench.common.errors import UserError
from paradigm_bench.common.seeds import ItemRNG
from paradigm_bench.paradigms.base import Conditions
from paradigm_bench.representations.text.encoders import builtin_text, load_text_encoder, words
from tests.helpers import BACKBONE, SAMPLERS, make

CAPTIONS = ["a violin leads", "organ chords in C minor at 80 BPM", "drums"]
WORDS = sorted({word for caption in CAPTIONS for word in caption.split()})


def save_tokenizer(folder: Path, specials: dict[str, str]) -> None:
    """A word-level tokenizer whose ids start with ``specials`` in their order; texts end with eos."""
    vocabulary = {word: index for index, word in enumerate([*dict.fromkeys(specials.values()), *WORDS])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token=specials["unk_token"]))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    end = specials["eos_token"]
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"$A {end}", special_tokens=[(end, vocabulary[end])]
    )
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=16, **specials).save_pretrained(folder)


@pytest.fixture(scope="module")
def t5(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("t5")
    torch.manual_seed(0)
    sizes = {"d_model": 16, "d_kv": 4, "d_ff": 32, "num_layers": 2, "num_heads": 4}
    T5EncoderModel(T5Config(vocab_size=40, **sizes)).save_pretrained(folder)
    save_tokenizer(folder, {"pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"})
    return folder


@pytest.fixture(scope="module")
def clap(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clap")
    torch.manual_seed(0)
    text = {"vocab_size": 40, "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "projection_dim": 12,
            "num_attention_heads": 4, "max_position_embeddings": 24}  # fmt: skip
    audio = {"patch_embeds_hidden_size": 8, "depths": [1, 1], "num_attention_heads": [1, 1], "hidden_size": 16,
             "num_hidden_layers": 2, "spec_size": 32, "num_mel_bins": 8, "projection_dim": 12}  # fmt: skip
    ClapModel(ClapConfig(text_config=text, audio_config=audio, projection_dim=12)).save_pretrained(folder)
    save_tokenizer(folder, {"bos_token": "<s>", "pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"})
    return folder


def test_words_keep_case_sharps_and_numbers() -> None:
    assert words("C#m7, F# and Bb: 4/4 at 120 BPM. Don't!") == [
        "C#m7", ",", "F#", "and", "Bb", ":", "4", "/", "4", "at", "120", "BPM", ".", "Don't", "!",
    ]  # fmt: skip


def test_builtin_ids_by_hand() -> None:
    encoder = builtin_text(["A major", "a minor, A"])
    assert encoder.spec.vocabulary == ("<pad>", "<unk>", ",", "A", "a", "major", "minor")
    ids_BL, mask_BL = encoder.encode(["A minor, Bb", "major", ""])
    assert ids_BL.tolist() == [[3, 6, 2, 1], [5, 0, 0, 0], [1, 0, 0, 0]]
    assert mask_BL.tolist() == [[True] * 4, [True, False, False, False], [True, False, False, False]]


def test_cut_captions_are_told_once() -> None:
    encoder = builtin_text(["la " * 70])
    assert encoder.spec.max_length == 70
    with pytest.warns(UserWarning, match="over 70 tokens"):
        assert encoder.encode(["la " * 71])[0].shape == (1, 70)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        encoder.encode(["la " * 80])


def test_t5_equals_transformers_and_ignores_padding(t5: Path) -> None:
    encoder = load_text_encoder(f"t5:{t5}")
    text_BLD, mask_BL = encoder.encode(CAPTIONS)
    assert (encoder.spec.kind, encoder.spec.dim, text_BLD.shape) == ("embeddings", 16, (3, 9, 16))
    assert mask_BL.sum(1).tolist() == [4, 9, 2]  # words and </s>
    assert text_BLD[~mask_BL].abs().max() == 0
    vocabulary = ["<pad>", "</s>", "<unk>", *WORDS]
    model = T5EncoderModel.from_pretrained(t5).eval()
    for caption, row_LD, length in zip(CAPTIONS, text_BLD, mask_BL.sum(1)):
        ids = torch.tensor([[*(vocabulary.index(word) for word in caption.split()), 1]])
        with torch.no_grad():
            torch.testing.assert_close(row_LD[:length], model(ids).last_hidden_state[0])
    with pytest.warns(UserWarning, match="over 16 tokens"):
        assert encoder.encode(["drums " * 30])[0].shape == (1, 16, 16)


def test_clap_is_one_unit_token_that_ignores_padding(clap: Path) -> None:
    encoder = load_text_encoder(f"clap:{clap}")
    text_BLD, mask_BL = encoder.encode(CAPTIONS)
    assert text_BLD.shape == (3, 1, 12)
    assert bool(mask_BL.all())
    vocabulary = ["<s>", "<pad>", "</s>", "<unk>", *WORDS]
    model = ClapModel.from_pretrained(clap).eval()
    for caption, row_LD in zip(CAPTIONS, text_BLD):
        ids = torch.tensor([[*(vocabulary.index(word) for word in caption.split()), 2]])
        with torch.no_grad():
            torch.testing.assert_close(row_LD[0], normalize(model.get_text_features(ids).pooler_output[0], dim=-1))


def test_both_together_are_one_after_the_other_in_channels_of_their_own(t5: Path, clap: Path) -> None:
    both = load_text_encoder(f"clap:{clap}+t5:{t5}")
    text_BLD, mask_BL = both.encode(CAPTIONS)
    t5_BLD, t5_mask_BL = load_text_encoder(f"t5:{t5}").encode(CAPTIONS)
    clap_BLD, _ = load_text_encoder(f"clap:{clap}").encode(CAPTIONS)
    assert (both.spec.dim, both.spec.max_length) == (12 + 16, 1 + 16)
    assert torch.equal(text_BLD[:, :1, :12], clap_BLD)
    assert torch.equal(text_BLD[:, 1:, 12:], t5_BLD)
    assert text_BLD[:, :1, 12:].abs().max() == text_BLD[:, 1:, :12].abs().max() == 0
    assert torch.equal(mask_BL, torch.cat([torch.ones(3, 1, dtype=torch.bool), t5_mask_BL], dim=1))


def test_impacts_text_is_78_tokens_at_most(t5: Path, clap: Path) -> None:
    both = load_text_encoder(f"clap:{clap}+t5[77]:{t5}")
    assert both.spec.max_length == 78
    with pytest.warns(UserWarning, match="over 77 tokens are cut"):
        text_BLD, mask_BL = both.encode(["drums " * 100, "drums"])
    assert (text_BLD.shape[1], mask_BL.sum(dim=1).tolist()) == (78, [78, 3])
    assert load_text_encoder(f"clap[5]:{clap}").limit == 5


@pytest.mark.parametrize("name", ["mar", "fm", "mntp"])
def test_a_prefix_of_both_encoders(t5: Path, clap: Path, name: str) -> None:
    """Each encoder has a projection of its own; a caption means the same alone and padded in a batch."""
    both = load_text_encoder(f"clap:{clap}+t5[77]:{t5}")
    model = make(name, backbone=dataclasses.replace(BACKBONE, text="prefix"), text=both.spec, std=0.05)
    seen = model.text_conditioner(*both.encode(CAPTIONS))
    with torch.no_grad():
        model.text_conditioner.projection.weight[:, :12] *= 2  # CLAP's part
    moved = (model.text_conditioner(*both.encode(CAPTIONS)) - seen).abs().amax(dim=(0, 2)) > 1e-6
    assert moved.tolist() == [True, *[False] * 9]
    settings = model.sampler({**SAMPLERS[name], "guidance": 2.0})

    def sing(captions: list[str], seeds: list[int]) -> torch.Tensor:
        return model.generate(Conditions(*both.encode(captions)), 6, settings, ItemRNG(seeds))

    together = sing(CAPTIONS, [1, 2, 3])
    torch.testing.assert_close(sing(CAPTIONS[2:], [3]), together[2:], rtol=1e-3, atol=1e-4)
    assert not torch.allclose(sing([CAPTIONS[0]] * 3, [1, 2, 3])[1:], together[1:], atol=1e-3)


@pytest.mark.parametrize("spec", ["t5:/no/such/folder", "clap:", "t6:x", "builtin+t5:x", "t5[0]:x", "t5[many]:x"])
def test_bad_specs_are_one_line_errors(spec: str) -> None:
    with pytest.raises(UserError) as caught:
        load_text_encoder(spec)
    assert "\n" not in str(caught.value)
