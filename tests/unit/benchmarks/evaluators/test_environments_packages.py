"""The packages themselves, in their environments, against our code: encodec and fadtk are built here where pip can.

The others are tried where they are installed (`bench evaluators install NAME`), and skipped elsewhere.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import EncodecConfig, EncodecModel

from paradigm_bench.benchmarks.evaluators.environments import Environment, get_environment
from paradigm_bench.benchmarks.evaluators.environments.environment import install, installed, run
from paradigm_bench.benchmarks.evaluators.environments.evaluator import ExternalEvaluator, check_environment
from paradigm_bench.benchmarks.evaluators.environments.musicgen import import_musicgen
from paradigm_bench.benchmarks.evaluators.pretrained import EncodecEmbedding
from paradigm_bench.common.errors import UserError
from paradigm_bench.common.files import read_json
from paradigm_bench.paradigms.base import Conditions
from paradigm_bench.representations.spec import LatentSpec
from paradigm_bench.representations.text.encoders import TextSpec
from tests.golden import inputs

GOLDEN = Path(__file__).parents[3] / "golden"
BUILT_HERE = ("encodec", "fadtk")
EMBEDDING_24KHZ = "encodec_24khz-d7cc33bc.th"  # the file name under which fadtk's download would lie


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Environment]:
    """By name: installed, built now, or a reason to skip."""
    cache = tmp_path_factory.mktemp("cache")
    patch = pytest.MonkeyPatch()

    def get(name: str) -> Environment:
        env = get_environment(name)
        if installed(env):
            return env
        if name not in BUILT_HERE:
            pytest.skip(f"{name} is not installed; bench evaluators install {name}")
        patch.setenv("PARADIGM_BENCH_CACHE", str(cache))
        if not installed(env):
            try:
                install(env, borrow=True)
            except UserError as error:
                pytest.skip(str(error))
        return env

    yield get
    patch.undo()


def port(theirs: dict[str, np.ndarray], **config: object) -> EncodecModel:
    """transformers' model with the weights of Meta's package, whose names differ."""

    def rename(name: str) -> str:
        name = name.replace("quantizer.vq.layers.", "quantizer.layers.").replace("._codebook.", ".codebook.")
        name = re.sub(r"^(encoder|decoder)\.model\.", r"\1.layers.", name)
        name = re.sub(r"\.(conv|convtr)\.(conv|convtr|norm)\.", lambda m: f".{m[2].replace('tr', '')}.", name)
        weight = {"weight_g": "parametrizations.weight.original0", "weight_v": "parametrizations.weight.original1"}
        return re.sub(r"weight_[gv]$", lambda m: weight[m[0]], name)

    model = EncodecModel(EncodecConfig(**config))
    state = {rename(n.removeprefix("state/")): torch.from_numpy(a) for n, a in theirs.items() if n.startswith("state/")}
    model.load_state_dict(state)
    return model.eval()


def noise(samples: int, seed: int = 0) -> np.ndarray:
    steps = np.random.default_rng(seed).standard_normal(samples).cumsum()
    return (0.5 * np.sin(steps / 7)).astype(np.float32)


def test_encodec_24khz_equals_transformers(environment: Callable[[str], Environment]) -> None:
    wav = noise(24_000)
    arrays = {"audio/000000": wav}
    reply = run(environment("encodec"), "reconstruct", arrays, sample_rate=24_000, model="24khz", random=True)
    model = port(reply.arrays)
    with torch.no_grad():
        out = model(torch.from_numpy(wav)[None, None], bandwidth=6.0)
    assert len(np.unique(reply.arrays["codes/0/0"])) > 20
    assert (out.audio_codes[0, 0].numpy() == reply.arrays["codes/0/0"]).mean() > 0.99
    np.testing.assert_allclose(out.audio_values[0].numpy(), reply.arrays["wav/0"], atol=2e-4)
    assert reply.arrays["wav/0"].std() > 1e-3


def test_encodec_48khz_equals_transformers(environment: Callable[[str], Environment]) -> None:
    """Stereo, in chunks of a second, each divided by its loudness."""
    wav = np.stack([noise(72_000), noise(72_000, 1)])
    arrays = {"audio/000000": wav}
    reply = run(environment("encodec"), "reconstruct", arrays, sample_rate=48_000, model="48khz", random=True)
    model = port(
        reply.arrays, sampling_rate=48_000, audio_channels=2, normalize=True, chunk_length_s=1.0, overlap=0.01,
        norm_type="time_group_norm", use_causal_conv=False, target_bandwidths=[3.0, 6.0, 12.0, 24.0],
    )  # fmt: skip
    with torch.no_grad():
        out = model(torch.from_numpy(wav)[None], bandwidth=6.0)
    np.testing.assert_array_equal(out.audio_codes[0, 0].numpy(), reply.arrays["codes/0/0"])
    np.testing.assert_allclose(out.audio_values[0, :, :72_000].numpy(), reply.arrays["wav/0"], atol=2e-4)


def test_fadtk_gives_its_golden_numbers(environment: Callable[[str], Environment]) -> None:
    golden = read_json(GOLDEN / "frechet_fadtk.json")["cases"]
    for case in (golden[0], golden[-1]):
        reference, generated = inputs.frechet_arrays(case)
        reply = run(environment("fadtk"), "frechet", {"reference": reference, "generated": generated})
        assert reply.facts["frechet"] == pytest.approx(case["value"], rel=1e-9)


def test_fadtk_embeds_encodec_as_we_do(environment: Callable[[str], Environment], tmp_path: Path) -> None:
    """Its network from a local file, averaged over time, equals our evaluator with the same weights."""
    arrays = {"audio/000000": noise(2400)}
    reply = run(environment("encodec"), "reconstruct", arrays, sample_rate=24_000, model="24khz", random=True)
    ours = EncodecEmbedding(port(reply.arrays), "encodec_24k", "random")
    state = {n.removeprefix("state/"): torch.from_numpy(a) for n, a in reply.arrays.items() if n.startswith("state/")}
    (tmp_path / "checkpoints").mkdir()
    torch.save(state, tmp_path / "checkpoints" / EMBEDDING_24KHZ)
    theirs = ExternalEvaluator(environment("fadtk"), "encodec-emb", str(tmp_path))
    clips = [noise(24_000), noise(30_000, 2)]
    output = theirs.embed(clips, 24_000)
    np.testing.assert_allclose(output, ours.embed(clips, 24_000), atol=1e-5)
    assert np.abs(output[0] - output[1]).max() > 1e-3
    fma = run(
        environment("fadtk"), "fma_pop", {"audio/0": noise(240_000)}, sample_rate=24_000, model="encodec-emb",
        weights=str(tmp_path),
    )  # fmt: skip
    assert (fma.facts["frames"], fma.facts["frechet"] > 0) == (750, True)


def test_fadtk_without_a_network_says_where_to_put_it(
    environment: Callable[[str], Environment], tmp_path: Path
) -> None:
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / EMBEDDING_24KHZ).write_bytes(b"not a checkpoint")
    with pytest.raises(UserError, match=r"fadtk: cannot load encodec-emb: .*; put its files under"):
        ExternalEvaluator(environment("fadtk"), "encodec-emb", str(tmp_path))


@pytest.mark.parametrize("name", ["audiobox", "audiocraft", "encodec", "fadtk", "laion_clap", "panns", "passt"])
def test_the_environment_runs_from_end_to_end(environment: Callable[[str], Environment], name: str) -> None:
    try:
        found = check_environment(environment(name))
    except UserError as error:
        if name == "laion_clap" and "set HF_HOME" in str(error):
            pytest.skip(str(error))
        raise
    assert re.search(r"embeddings of \d+|differ by|came back|itself: 1\.000", found)


def test_audiocraft_gives_its_golden_numbers(environment: Callable[[str], Environment]) -> None:
    golden = read_json(GOLDEN / "chroma_audiocraft.json")
    case = golden["cases"][1]
    reference, generated = inputs.chroma_pair(case)
    arrays, rate = {"reference/0": reference, "generated/0": generated}, case["sample_rate"]
    reply = run(environment("audiocraft"), "chroma", arrays, sample_rate=rate, options=golden["settings"])
    assert reply.arrays["similarity"][0] == pytest.approx(case["value"], abs=1e-6)


def test_an_imported_musicgen_gives_the_same_logits(environment: Callable[[str], Environment]) -> None:
    env = environment("audiocraft")
    rng = np.random.default_rng(0)
    codes_BKS = rng.integers(0, 9, (2, 4, 7))
    words_BLC = rng.standard_normal((2, 5, 12)).astype(np.float32)
    mask_BL = np.ones((2, 5), np.int64)  # audiocraft lets padding take part in attention, as zeros; we mask it
    arrays = {"codes": codes_BKS, "words": words_BLC, "mask": mask_BL}
    theirs = torch.from_numpy(run(env, "logits", arrays, random=True).arrays["logits"])
    latent = LatentSpec("encodec", 32_000, 50.0, dim=8, codebooks=4, cardinality=8)
    text = TextSpec(kind="embeddings", dim=12, vocabulary=(), max_length=16)
    model = import_musicgen("", latent, text, random=True)
    mask = torch.from_numpy(mask_BL).bool()
    with torch.no_grad():
        text_memory = model.read_text(Conditions(torch.from_numpy(words_BLC), mask))
        ours = model.logits(torch.from_numpy(codes_BKS), text_memory)
    torch.testing.assert_close(ours.transpose(1, 2), theirs, rtol=1e-4, atol=1e-4)
    with pytest.raises(UserError, match="has 4 codebooks of 8, the latent 'encodec' 4 of 16"):
        import_musicgen("", latent.replace(cardinality=16), text, random=True)
