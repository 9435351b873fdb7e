"""The command line: instant help, one-line errors with the right exit status, and listings that hold every name."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.cli import status

ROOT = Path(__file__).parent.parent
HEAVY = ("torch", "slurm", "submitit", "pandas", "numpy", "scipy", "matplotlib", "transformers")


def test_help_loads_nothing_heavy() -> None:
    script = (
        "import sys; from benchmarks.cli import status\n"
        "lines = ('--help', 'run --help', 'sample --help', 'submit --help', 'codec train --help')\n"
        "codes = [status(line.split()) for line in lines]\n"
        f"loaded = sorted(set(sys.modules) & set({HEAVY!r}))\n"
        "assert codes == [0] * 5, codes\n"
        "assert not loaded, loaded\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert "bench run quickstart" in done.stdout


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("run quikstart", "no study 'quikstart' (did you mean 'quickstart'?)"),
        ("run --axis fidelty", "unknown axis 'fidelty' (did you mean 'fidelity'?)"),
        ("run quickstart --set train.lrr=1", "unknown key 'lrr' (did you mean 'lr'?)"),
        ("run quickstart --set train.lr", "expected KEY=VALUE"),
        ("run quickstart --updates -3", "--updates -3"),
        ("run quickstart --paradgm fm", "--paradigm"),
        ("rnu", "run"),
        ("list studis", "did you mean 'studies'?"),
        ("models --preset tinny", "unknown preset 'tinny' (did you mean 'tiny'?)"),
        (
            "sample --prompt x --checkpoint nowhere",
            "nowhere: no trained model there; name a folder with a pipeline.json",
        ),
        ("tune --checkpoint nowhere --reward clap_builtin --out x", "nowhere: no trained model there"),
        ("report nosuch --results {tmp}", "no study 'nosuch'"),
    ],
)
def test_bad_input_is_one_line_and_status_2(
    line: str, message: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert status(line.format(tmp=tmp_path).split()) == 2
    stderr = capsys.readouterr().err.strip()
    assert stderr.startswith("bench: error: ")
    assert "\n" not in stderr
    assert message in stderr


def test_interrupt_is_status_130(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("benchmarks.console.table", interrupted)
    assert status(["doctor"]) == 130
    assert "finished work is kept" in capsys.readouterr().err


def test_list_names_everything(capsys: pytest.CaptureFixture[str]) -> None:
    assert status(["list"]) == 0
    lines = dict(line.split(":", 1) for line in capsys.readouterr().out.splitlines())
    assert {"ar", "fm", "mar", "mntp", "ntp"} <= set(lines["paradigms"].replace(",", " ").split())
    assert "quickstart" in lines["studies"]
    assert "shuffled_captions" in lines["references"]


def test_models_counts_agree_with_a_built_model(capsys: pytest.CaptureFixture[str]) -> None:
    assert status(["models", "--preset", "tiny", "-p", "fm"]) == 0
    header, _, row = capsys.readouterr().out.splitlines()
    counts = dict(zip(header.split(), (cell.replace(",", "") for cell in row.split())))
    import paradigms
    from backbones.config import preset
    from representations.base import LatentSpec
    from representations.text import TextSpec

    latent = LatentSpec("codec_builtin", 16000, 25.0, 32, codebooks=4, cardinality=512)
    text = TextSpec(kind="tokens", dim=0, vocabulary=tuple(f"w{i}" for i in range(200)), max_length=64)
    model = paradigms.build("fm", {}, preset("tiny"), latent, text)
    assert int(counts["total"]) == sum(p.numel() for p in model.parameters())
    assert int(counts["backbone"]) == sum(p.numel() for p in model.backbone.parameters())


def test_doctor_names_missing_parts_and_what_they_disable(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.which", lambda name: None)
    assert status(["doctor"]) == 0
    out = capsys.readouterr().out
    assert "bench submit on SLURM" in next(line for line in out.splitlines() if line.startswith("sbatch"))
    assert "times as long as in fp32" in out
