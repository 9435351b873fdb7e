"""A small report of three documents: an overview, a study with clips, and one that is named like nothing else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile

from paradigm_bench.benchmarks.report.page import Section, write_page

OVERVIEW = """\
# What was found

![Scores of all arms](figure.png)

*Scores of all arms.*

## At a glance

| question | what the records say | evidence |
| --- | --- | --- |
| Whose clips are most like real ones, as a set? | ar and fm, before mar | [music](results/music/README.md#scores) |
| Who follows the chords that are given in time? | all but one, fm | [speech](results/speech/) |

The [README](README.md), the [source](https://example.org/paper) and [below](#at-a-glance).
"""
STUDY = """\
# music: four arms

[Back](../../REPORT.md), [down](#scores), [the second](#scores-1).

## Scores

| system | fad ↓ | kl ↓ | clap ↑ | adherence ↑ | density ↑ (not usable here) |
| --- | --- | --- | --- | --- | --- |
| b | [32.0](records/x.json) [28, 35] | 1.20 [1.10, 1.30] | 0.5 [0.4, 0.6] | 0.5 [0.4, 0.6] | 0.5 |
| a | 4.5 [4, 5] | 1.10 [1.00, 1.20] | 0.6 [0.5, 0.7] | 0.6 [0.5, 0.7] | 0.6 |
|  | 99 | 1.05 | 0.1 | 0.1 | 0.1 |
| c | – | – | – | – | – |

## Scores

<details><summary>More</summary>

![A caption](../../figure.png)

![Gone](gone.png)

</details>

## Listen

1. “A tune.” [real](audio/one.flac) · [ar](audio/two%20of.flac) · [gone](audio/three.flac)
"""
SPEECH = "Its text has no heading.\n"


def report_page(folder: Path) -> Path:
    """Write the documents' files into ``folder``, and the page over them."""
    from PIL import Image

    music, speech = folder / "results" / "music", folder / "results" / "speech"
    (music / "audio").mkdir(parents=True)
    speech.mkdir()
    Image.new("RGB", (800, 400), "red").save(folder / "figure.png")
    for name, pitch in (("one", 220.0), ("two of", 440.0)):
        sound = 0.5 * np.sin(pitch * np.arange(32000) / 16000 * 2 * np.pi)
        soundfile.write(music / "audio" / f"{name}.flac", sound, 16000)
    sections = [
        Section("Overview", "Overview", OVERVIEW, folder, "REPORT.md"),
        Section("music", "Fidelity", STUDY, music),
        Section("speech & noise", "Fidelity", SPEECH, speech),
    ]
    return write_page("Which paradigm?", sections, folder / "REPORT.html")
