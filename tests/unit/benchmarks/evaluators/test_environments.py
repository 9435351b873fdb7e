"""Evaluators in environments of their own: the exchange of files, end to end, with a script that needs numpy only."""

from __future__ import annotations

import importlib.util
import re
import shutil
import sys
import tomllib
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from paradigm_bench.benchmarks.cli.main import status
from paradigm_bench.benchmarks.evaluators import score_set
from paradigm_bench.benchmarks.evaluators.base import OWN_ENVIRONMENTS
from paradigm_bench.benchmarks.evaluators.environments import (
    Environment,
    environment,
    environments,
    install,
    installed,
    run,
)
from paradigm_bench.benchmarks.evaluators.environments.environment import SCRIPTS, read_script
from paradigm_bench.benchmarks.evaluators.environments.evaluator import CHECKS, ExternalEvaluator, load_external
from paradigm_bench.common.errors import UserError

ROOT = Path(__file__).parents[4]
RATE = 8000


@pytest.fixture(scope="module")
def scripts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scripts")
    shutil.copy(SCRIPTS / "exchange.py", folder)
    shutil.copy(Path(__file__).parents[3] / "tiny_env.py", folder)
    return folder


@pytest.fixture
def tiny(scripts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Environment:
    """Really installed: a venv that borrows numpy from this Python, without a download."""
    monkeypatch.setenv("PARADIGM_BENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("paradigm_bench.benchmarks.evaluators.environments.environment.SCRIPTS", scripts)
    env = read_script(scripts / "tiny_env.py")
    install(env, borrow=True)
    return env


def clips(*seconds: float) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [(rng.standard_normal(int(RATE * s)) * (0.1 + i)).astype(np.float32) for i, s in enumerate(seconds)]


def by_hand(window: np.ndarray) -> np.ndarray:
    spectrum = np.abs(np.fft.rfft(window.astype(np.float64), 8000)[:4000]) ** 2
    return np.log(spectrum.reshape(8, -1).sum(1) + 1e-9)


def test_a_clip_goes_there_and_its_result_comes_back(tiny: Environment) -> None:
    evaluator = ExternalEvaluator(tiny, "bands", random=True)
    long, short = clips(1.5, 0.4)
    output = evaluator.evaluate([long, short], RATE, ["abc", "xyz"])
    loud = [wav * (10 ** (-1 / 20) / np.abs(wav).max()) for wav in (long, short)]
    expected = [(by_hand(loud[0][:8000]) + by_hand(loud[0][4000:])) / 2, by_hand(loud[1])]
    np.testing.assert_allclose(output.embeddings, expected, rtol=1e-4)
    np.testing.assert_allclose(output.posteriors["band"].sum(1), 1.0, rtol=1e-5)
    assert output.scores["peak"][1] == pytest.approx(10 ** (-1 / 20))
    text = np.array([[ord(c) for c in "abc     "], [ord(c) for c in "xyz     "]], float)
    lengths = np.linalg.norm(output.embeddings, axis=1) * np.linalg.norm(text, axis=1)
    cosine = (output.embeddings * text).sum(1) / lengths
    np.testing.assert_allclose(output.similarity, cosine, rtol=1e-5, atol=1e-6)
    assert (evaluator.name, evaluator.checkpoint) == ("tiny_bands", f"numpy {np.__version__}, weights none")


def test_it_takes_part_in_a_panel(tiny: Environment, monkeypatch: pytest.MonkeyPatch) -> None:
    evaluator = ExternalEvaluator(tiny, "bands", random=True)
    audio = clips(0.5, 0.6, 0.7, 0.8)
    scores = score_set(audio, audio[::-1], ["a"] * 4, [{}] * 4, evaluator, RATE)
    assert scores.set_metrics["fad_tiny_bands"] == pytest.approx(0.0, abs=1e-6)
    assert scores.set_metrics["peak_tiny_bands"] == pytest.approx(10 ** (-1 / 20), rel=1e-6)
    assert scores.per_item["kl_tiny_bands"].shape == (4,)
    assert scores.details["evaluator_identity"] == evaluator.identity


def test_the_cache_spares_the_script(tiny: Environment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "bands.bin").write_text("weights")
    first = load_external("tiny", f"bands@{tmp_path}/bands.bin")
    audio = clips(0.5, 0.6)
    output = first.evaluate(audio, RATE)
    monkeypatch.setattr(first.inner, "evaluate", None)  # type: ignore[attr-defined]
    again = first.evaluate(audio[::-1], RATE)
    np.testing.assert_array_equal(again.embeddings, output.embeddings[::-1])
    np.testing.assert_array_equal(again.scores["peak"], output.scores["peak"][::-1])


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("nan", "'embedding' holds NaN or infinity"),
        ("dies", r"script died \(status 1\): MemoryError: no room for the network; try `bench evaluators check tiny`"),
        ("short", r"to 1 clip: 'embedding' has shape \(0, 8\)"),
    ],
)
def test_a_script_that_fails_is_one_line(tiny: Environment, model: str, message: str) -> None:
    with pytest.raises(UserError, match=message) as raised:
        ExternalEvaluator(tiny, model, random=True)
    assert "\n" not in str(raised.value)


def test_what_else_can_go_wrong(tiny: Environment, tmp_path: Path) -> None:
    audio = {"audio/000000": clips(0.5)[0]}
    ask = partial(run, tiny, "evaluate", audio, sample_rate=RATE)
    with pytest.raises(UserError, match="no answer within 1 s"):
        ask(model="slow", random=True, timeout=1.0)
    with pytest.raises(UserError, match=r"tiny: no weights; put bands\.bin somewhere"):
        ask(model="bands")
    with pytest.raises(UserError, match="no weights at nowhere"):
        ask(model="bands", weights="nowhere")
    with pytest.raises(UserError, match="with the tasks evaluate"):
        run(tiny, "sing", audio)
    with pytest.raises(UserError, match=r"tiny has no model 'band'; say tiny:MODEL, one of bands, nan"):
        load_external("tiny", "band")
    with pytest.raises(UserError, match="weights changed"):
        ExternalEvaluator(tiny, "restless", random=True).evaluate(clips(0.5), RATE)
    shutil.rmtree(tiny.folder)
    with pytest.raises(UserError, match="run `bench evaluators install tiny`"):
        ask(model="bands", random=True)


def test_another_script_or_other_weights_are_another_evaluator(tiny: Environment) -> None:
    identity = ExternalEvaluator(tiny, "bands", random=True).identity
    assert ExternalEvaluator(tiny, "bands", random=True).identity == identity
    tiny.script.write_text(tiny.script.read_text() + "# changed\n")
    assert ExternalEvaluator(tiny, "bands", random=True).identity != identity


def test_a_failed_installation_leaves_nothing_that_looks_whole(
    tiny: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = tiny.script.read_text().replace('"safetensors"]', '"safetensors", "no-such-package-of-mine==1.0"]')
    tiny.script.with_name("broken_env.py").write_text(script)
    env = read_script(tiny.script.with_name("broken_env.py"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    with pytest.raises(UserError, match="pip failed: ERROR: No matching distribution"):
        install(env, borrow=True)
    assert not installed(env)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: text.replace("# /// script", "# script"), "no block '# /// script'"),
        (lambda text: text.replace("# about = ", "# abuot = "), "abuot.*did you mean 'about'"),
        (lambda text: text.replace('["numpy",', '["numpy"'), "no valid TOML"),
    ],
)
def test_a_wrong_head_is_named(scripts: Path, tmp_path: Path, change: Callable[[str], str], message: str) -> None:
    path = tmp_path / "wrong_env.py"
    path.write_text(change((scripts / "tiny_env.py").read_text()))
    with pytest.raises(UserError, match=message):
        read_script(path)


def test_the_commands(tiny: Environment, capsys: pytest.CaptureFixture[str]) -> None:
    assert status(["evaluators", "list"]) == 0
    assert re.search(r"tiny +installed\n +band energies\n +licence: Apache-2.0\n", capsys.readouterr().out)
    assert status(["evaluators", "check", "tiny"]) == 1  # it has models, and the first clip's is not given
    shutil.rmtree(tiny.folder)
    assert status(["evaluators", "check"]) == 0
    assert re.search(r"tiny +missing +bench evaluators install tiny", capsys.readouterr().out)
    assert status(["evaluators", "install", "tiny", "--borrow"]) == 0
    assert installed(tiny)
    assert status(["evaluators", "install", "tinny"]) == 2
    assert "did you mean 'tiny'?" in capsys.readouterr().err


def test_every_script_declares_what_is_true() -> None:
    core = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    ours = {re.split(r"[=<>\[ ]", name)[0].lower() for name in core["dependencies"]}
    docs = (ROOT / "docs" / "evaluators.md").read_text()
    for name, env in environments().items():
        names = [dependency.split("==")[0] for dependency in env.dependencies]
        assert all("==" in dependency for dependency in env.dependencies), name
        assert set(env.no_deps) <= set(names), name
        assert (env.check == "evaluate") == (env.check not in CHECKS), name
        assert not {package.lower() for package in env.no_deps} & ours, name  # licences and pins stay out of the core
        assert f"| {name} |" in docs, name
    evaluators = {name for name, env in environments().items() if env.check == "evaluate" or name == "fadtk"}
    assert set(OWN_ENVIRONMENTS) == evaluators
    assert int(re.search(r"FORMAT = (\d+)", (SCRIPTS / "exchange.py").read_text())[1]) == environment.FORMAT  # type: ignore[index]


class Malice:
    def __reduce__(self) -> tuple[Callable[..., object], tuple[str]]:
        return print, ("unpickled",)


def test_checkpoints_are_read_without_unpickling_code(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spec = importlib.util.spec_from_file_location("exchange_of_scripts", SCRIPTS / "exchange.py")
    assert spec is not None
    assert spec.loader is not None
    exchange = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = exchange  # its dataclasses look themselves up there
    spec.loader.exec_module(exchange)
    sampler = {
        "indexes": np.arange(3),
        "pointer": np.int64(3),
        "name": "uneven",
    }  # as published ones carry beside weights
    torch.save({"model": {"w": torch.ones(2)}, "sampler": sampler}, tmp_path / "good.pth")
    read_back = exchange.checkpoint(tmp_path / "good.pth")
    assert read_back["model"]["w"].tolist() == [1.0, 1.0]
    assert read_back["sampler"]["indexes"].tolist() == [0, 1, 2]
    torch.save({"model": Malice()}, tmp_path / "bad.pth")
    with pytest.raises(exchange.ScriptError, match=r"bad\.pth is no readable checkpoint"):
        exchange.checkpoint(tmp_path / "bad.pth")
    assert "unpickled" not in capsys.readouterr().out
