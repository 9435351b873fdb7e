"""A representation from outside works wherever a built-in one does (docs/representations.md walks through it)."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import pytest
import torch
from training_toys import SPEC, ToyText

from paradigm_bench.benchmarks.cli.main import status
from paradigm_bench.common.errors import UserError
from paradigm_bench.corpora import load_corpus
from paradigm_bench.representations import load_representation
from paradigm_bench.representations.base import Representation
from paradigm_bench.representations.latents.encoded import encode_corpus
from paradigm_bench.training.data import BatchStream

SPEC_OF_TOY = "toy_representation:load:16"


@pytest.fixture(scope="module")
def toy() -> Representation:
    return load_representation(SPEC_OF_TOY)


def tone(samples: int = 8000) -> torch.Tensor:
    """200 Hz, in phase with the transform's ninth wave in every frame."""
    return 0.5 * torch.cos(2 * math.pi * 200 * (torch.arange(samples) + 0.5) / 8000)[None]


def test_views_and_lengths_fit_the_spec(toy: Representation) -> None:
    """What every representation must hold to."""
    spec = toy.spec
    z_BTD = toy.encode(tone())
    assert z_BTD.shape == (1, spec.frames(1.0), spec.dim)
    codes_BKT = toy.quantise(z_BTD)
    assert codes_BKT.shape == (1, spec.codebooks, 50)
    assert 0 <= int(codes_BKT.min()) <= int(codes_BKT.max()) < spec.cardinality
    assert toy.dequantise(codes_BKT).shape == z_BTD.shape
    assert toy.decode(z_BTD).shape == (1, 8000)
    assert torch.equal(toy.quantise(toy.dequantise(codes_BKT)), codes_BKT)
    pair = toy.encode(torch.cat([tone(), torch.zeros(1, 8000)]))
    torch.testing.assert_close(pair[:1], z_BTD)  # alone or among others
    assert toy.encode(tone(8070)).shape[1] == 50  # the nearest number of frames
    torch.testing.assert_close(toy.decode(z_BTD), tone(), atol=1e-4, rtol=0)


def test_fingerprint_follows_what_changes_latents() -> None:
    assert load_representation(SPEC_OF_TOY).fingerprint == load_representation(SPEC_OF_TOY).fingerprint
    assert load_representation(SPEC_OF_TOY).fingerprint != load_representation("toy_representation:load").fingerprint


def test_a_store_and_a_training_batch_are_made_of_it(
    toy: Representation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PARADIGM_BENCH_CACHE", str(tmp_path))
    line = ["data", "prepare", "builtin", "--clips", "6", "--seconds", "1", "--split", "train", "--controls", "drums"]
    assert status([*line, "--representation", SPEC_OF_TOY]) == 0
    assert "drums: 6 s of audio" in capsys.readouterr().out
    corpus = load_corpus("builtin", clips=6, seconds=1.0)
    store = encode_corpus(corpus, toy, ("train",), progress=False, controls=["drums"])
    text = type("Words", (ToyText,), {"encode": lambda self, c: ToyText.encode(self, ["1"] * len(c))})()
    spec = dataclasses.replace(SPEC, seconds=0.5, batch=4)
    batch, _ = BatchStream(store.split("train"), store.spec, text, spec).batch(1)  # type: ignore[arg-type]
    assert batch.latents_BTD.shape == (4, 25, 16)
    assert batch.codes_BKT is not None
    assert batch.codes_BKT.shape == (4, 16, 25)


@pytest.mark.parametrize(
    ("spec", "complaint"),
    [
        ("toy_representation:lode", "cannot load representation 'toy_representation:lode'"),
        ("no_such_package.codec:load", "cannot load representation"),
        ("toy_representation:load_nothing", "gave a object, not a Representation"),
        ("toy_representation:load:many", "expected a number of coefficients"),
        ("encodek:facebook/encodec_32khz", r"did you mean 'encodec'\?"),
    ],
)
def test_a_spec_that_gives_none_is_named(spec: str, complaint: str) -> None:
    with pytest.raises(UserError, match=complaint):
        load_representation(spec)
