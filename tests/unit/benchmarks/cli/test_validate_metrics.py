"""``bench validate-metrics``: from a study to a file, a page and a figure; bad input."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from fidelity_toys import _own_cache, home, settings  # noqa: F401 (fixtures)

from paradigm_bench.benchmarks.analysis.validation import load_validations
from paradigm_bench.benchmarks.axes import validate
from paradigm_bench.benchmarks.cli.main import status
from paradigm_bench.benchmarks.evaluators import ladder
from paradigm_bench.benchmarks.metrics.degradations import CHAINS


@pytest.fixture(autouse=True)
def _few_chains(monkeypatch: pytest.MonkeyPatch) -> None:
    few = {name: CHAINS[name] for name in ("noise", "dropouts", "exchanged", "loudness")}
    monkeypatch.setattr(ladder, "CHAINS", few)
    monkeypatch.setattr(validate, "CHAINS", few)


def asked(home: Path, results: Path, *more: str) -> list[str]:  # noqa: F811
    options = [option for one in settings(home) for option in ("--set", one)]
    return ["validate-metrics", "smoke", *options, "--judges", "logmel", "--results", str(results), *more]


def test_a_study_is_validated_once(home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:  # noqa: F811
    options = ("--set", "corpus.clips=64", "--n", "8")
    assert status(asked(home, tmp_path, *options)) == 0
    told = capsys.readouterr()
    assert "kad_logmel" in told.out
    assert "steps] noise-40" in told.err
    (found,) = load_validations(tmp_path / "validations")
    assert (found.corpus.name, found.split, found.seconds, found.prompts) == ("builtin", "test", 1.0, 8)
    assert [one.name for one in found.evaluators] == ["builtin", "logmel"]
    assert found.metrics["kad_logmel"].chains["noise"][-1].difference > 0
    assert "codec_continuous" in found.chains["references"].steps
    (file,) = (tmp_path / "validations").glob("*.json")
    page = file.with_suffix(".md").read_text()
    assert "| kad_logmel ↓ |" in page
    assert file.with_suffix(".png").read_bytes()[:4] == b"\x89PNG"
    before = file.read_bytes()
    assert status(asked(home, tmp_path, *options, "--json")) == 0
    again = capsys.readouterr()
    data = json.loads(again.out)
    assert data["metrics"]["kad_logmel"]["chains"]["noise"]["orders"] in (True, False)
    assert "exists; delete it to measure it again" in again.err
    assert file.read_bytes() == before


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("--judges", "logmal"), "logmel"),
        (("--judges", "builtin"), "attribute tagger"),
        (("--n", "3"), "--n"),
        (("--set", "evaluation.split=tset"), "tset"),
        (("--set", "train.seconds=8"), "validation needs 16"),
    ],
)
def test_bad_input_is_one_line(
    more: tuple[str, ...],
    message: str,
    home: Path,  # noqa: F811
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert status(asked(home, tmp_path, *more)) == 2
    said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("bench: error")]
    assert len(said) == 1
    assert message in said[0]
    assert not (tmp_path / "validations").exists()


def test_results_that_cannot_be_written(home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:  # noqa: F811
    (tmp_path / "file").write_text("")
    assert status(asked(home, tmp_path / "file")) == 2
    assert "this is a file" in capsys.readouterr().err
