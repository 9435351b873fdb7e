"""MusicGen checkpoints: the same logits as transformers, in both directions."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from paradigm_bench.common.errors import UserError
from paradigm_bench.paradigms.ar import AR
from paradigm_bench.paradigms.base import Conditions
from paradigm_bench.paradigms.delay import delay
from paradigm_bench.paradigms.musicgen import from_musicgen, to_musicgen
from paradigm_bench.representations.spec import LatentSpec
from paradigm_bench.representations.text.encoders import TextSpec
from tests.helpers import BACKBONE, make, perturb

transformers = pytest.importorskip("transformers")

LATENT = LatentSpec("encodec", 32000, 50.0, dim=8, codebooks=4, cardinality=16)
MASK_BL = torch.tensor([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1], [0, 0, 0, 0, 0]], dtype=torch.bool)
CODES = delay(torch.randint(0, 16, (3, 4, 9), generator=torch.Generator().manual_seed(0)), special=16)


def text(dim: int) -> TextSpec:
    return TextSpec(kind="embeddings", dim=dim, vocabulary=(), max_length=16)


def decoder_config() -> transformers.MusicgenDecoderConfig:
    return transformers.MusicgenDecoderConfig(
        vocab_size=16,
        num_codebooks=4,
        hidden_size=32,
        num_hidden_layers=3,
        num_attention_heads=4,
        ffn_dim=48,
        dropout=0.0,
        pad_token_id=16,
        bos_token_id=16,
    )


def words(dim: int) -> Tensor:
    return torch.randn(3, 5, dim, generator=torch.Generator().manual_seed(1))


def decoder_logits(decoder: torch.nn.Module, words_BLC: Tensor) -> Tensor:
    """transformers' logits (B, S, K, card) for the codes above."""
    with torch.no_grad():
        logits = decoder(
            input_ids=CODES.flatten(0, 1),
            encoder_hidden_states=words_BLC * MASK_BL[..., None],
            encoder_attention_mask=MASK_BL.long(),
        ).logits
    return logits.view(3, 4, CODES.shape[2], 16).transpose(1, 2)


def our_logits(model: AR, words_BLC: Tensor) -> Tensor:
    with torch.no_grad():
        return model.logits(CODES, model.read_text(Conditions(words_BLC, MASK_BL)))


def test_decoder_alone(tmp_path: Path) -> None:
    torch.manual_seed(0)
    decoder = perturb(transformers.MusicgenForCausalLM(decoder_config()), 0.1).eval()
    decoder.save_pretrained(tmp_path)
    model = from_musicgen(tmp_path, LATENT, text(32))
    theirs = decoder_logits(decoder, words(32))
    assert theirs.std() > 0.5
    assert_close(our_logits(model, words(32)), theirs, rtol=1e-4, atol=1e-4)
    back = to_musicgen(model).state_dict()
    assert back.keys() == decoder.state_dict().keys()
    assert all(torch.equal(back[name], tensor) for name, tensor in decoder.state_dict().items())


def test_full_size_with_padding_in_both_directions(tmp_path: Path) -> None:
    """MusicGen-small's decoder, 24 layers of width 1024 with 4 x 2048 codes: published weights have this shape."""
    torch.manual_seed(0)
    config = transformers.MusicgenDecoderConfig(dropout=0.0)
    assert (config.num_hidden_layers, config.hidden_size, config.vocab_size) == (24, 1024, 2048)
    decoder = transformers.MusicgenForCausalLM(config).eval()
    decoder.save_pretrained(tmp_path)
    codes = delay(torch.randint(0, 2048, (3, 4, 9), generator=torch.Generator().manual_seed(0)), special=2048)
    model = from_musicgen(tmp_path, LATENT.replace(cardinality=2048), text(1024))
    with torch.no_grad():
        theirs = decoder(
            input_ids=codes.flatten(0, 1),
            encoder_hidden_states=words(1024) * MASK_BL[..., None],
            encoder_attention_mask=MASK_BL.long(),
        ).logits.view(3, 4, -1, 2048)
        ours = model.logits(codes, model.read_text(Conditions(words(1024), MASK_BL)))
    assert theirs.std() > 0.1
    assert_close(ours, theirs.transpose(1, 2), rtol=1e-4, atol=1e-4)
    back = to_musicgen(model).state_dict()
    assert all(torch.equal(back[name], tensor) for name, tensor in decoder.state_dict().items())


def test_whole_model_with_its_projection(tmp_path: Path) -> None:
    torch.manual_seed(0)
    encoder = transformers.T5Config(vocab_size=20, d_model=12, d_kv=4, d_ff=16, num_layers=1, num_heads=2)
    codec = transformers.EncodecConfig(
        num_filters=2,
        hidden_size=8,
        codebook_size=16,
        codebook_dim=8,
        upsampling_ratios=[2, 2],
        num_lstm_layers=1,
        num_residual_layers=1,
    )
    config = transformers.MusicgenConfig(text_encoder=encoder, audio_encoder=codec, decoder=decoder_config())
    whole = transformers.MusicgenForConditionalGeneration(config).eval()
    perturb(whole.decoder, 0.1)
    perturb(whole.enc_to_dec_proj, 0.3)
    whole.save_pretrained(tmp_path)
    model = from_musicgen(str(tmp_path), LATENT, text(12))
    with torch.no_grad():
        theirs = (
            whole(encoder_outputs=(words(12),), attention_mask=MASK_BL.long(), decoder_input_ids=CODES.flatten(0, 1))
            .logits.view(3, 4, -1, 16)
            .transpose(1, 2)
        )
    assert_close(our_logits(model, words(12)), theirs, rtol=1e-4, atol=1e-4)


def test_export_of_a_model_of_ours() -> None:
    model = make("ar", latent=LATENT, text=text(12))
    assert isinstance(model, AR)
    decoder = to_musicgen(model)
    projected = model.text_conditioner(words(12), MASK_BL)
    assert_close(decoder_logits(decoder, projected), our_logits(model, words(12)), rtol=1e-4, atol=1e-4)


def test_what_does_not_fit_is_refused(tmp_path: Path) -> None:
    transformers.MusicgenForCausalLM(decoder_config()).save_pretrained(tmp_path / "musicgen")
    with pytest.raises(UserError, match=r"has 4 codebooks of 16, the latent 'encodec' 4 of 1024"):
        from_musicgen(tmp_path / "musicgen", LATENT.replace(cardinality=1024), text(32))
    with pytest.raises(UserError, match="embeddings of width 32, not embeddings of width 12"):
        from_musicgen(tmp_path / "musicgen", LATENT, text(12))
    with pytest.raises(UserError, match=r"cannot read a MusicGen checkpoint from .*nowhere"):
        from_musicgen(tmp_path / "nowhere", LATENT, text(32))
    transformers.T5Config(d_model=8).save_pretrained(tmp_path / "t5")
    with pytest.raises(UserError, match="is a 't5' checkpoint"):
        from_musicgen(tmp_path / "t5", LATENT, text(32))
    rotary = make("ar", backbone=replace(BACKBONE, positions="rotary"))
    assert isinstance(rotary, AR)
    with pytest.raises(UserError, match="cannot be exported"):
        to_musicgen(rotary)
