"""The shipped codec and VAE keep what issue 17 asks for: the treble, the waveform, and the distance to real music."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

HOME = Path(__file__).parents[3]
REAL = HOME.parent / "shared" / "realdata"
FARTHEST = {"continuous": 20.0, "quantised": 25.0}  # Frechet distance by musicnn on built-in music; real clips: 4.6
LEAST_SI_SNR = {"continuous": 6.26, "quantised": 3.2}  # dB, 1.5 below the codec shipped before


def rows_of(*corpora: str) -> list[dict]:
    options = [option for corpus in corpora for option in ("--corpus", corpus)]
    command = [sys.executable, str(HOME / "scripts" / "codec_quality.py"), "codec_builtin", "vae_builtin", "--json"]
    done = subprocess.run([*command, *options], capture_output=True, text=True, check=True)
    return [row for row in json.loads(done.stdout) if row["view"]]


def octaves_off(rows: list[dict]) -> list[str]:
    return [str(row) for row in rows if max(map(abs, row["levels_db"])) > 3]


def test_built_in_music_keeps_levels_waveform_and_distance() -> None:
    rows = rows_of("builtin")
    assert len(rows) == 3
    assert octaves_off(rows) == []
    assert [row for row in rows if row["fad_musicnn"] > FARTHEST[row["view"]]] == []
    assert [row for row in rows if row["si_snr_db"] < LEAST_SI_SNR[row["view"]]] == []


@pytest.mark.skipif(not REAL.is_dir(), reason="needs the real audio")
@pytest.mark.parametrize("corpus", ["music", "esc"])
def test_real_audio_keeps_its_levels(corpus: str) -> None:
    assert octaves_off(rows_of(str(REAL / corpus))) == []
