"""The static page: everything inside, tables that sort and pictures that zoom in a real browser."""

from __future__ import annotations

import base64
import html
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import soundfile

from benchmarks.report.page import embedded, render, write_page
from common.errors import UserError

BROWSER = next(
    (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), ""
)
REPORT = """\
# A report

See [scores](#scores-of-all).

## Scores of all

| system | fad ↓ |
| --- | --- |
| b | [32.0](results/s/records/x.json) [28, 35] |
| a | 4.5 [4, 5] |
|  | 99 |
| c | – |

<details><summary>More</summary>

![A caption](figure.png)

</details>

1. “A tune.” [real](one.flac) · [ar](two.flac) · [gone](three.flac)
"""


@pytest.fixture
def page(tmp_path: Path) -> Path:
    from PIL import Image

    (tmp_path / "REPORT.md").write_text(REPORT)
    Image.new("RGB", (40, 20), "red").save(tmp_path / "figure.png")
    for name, pitch in (("one", 220.0), ("two", 440.0)):
        soundfile.write(tmp_path / f"{name}.flac", 0.5 * np.sin(pitch * np.arange(8000) / 16000 * 2 * np.pi), 16000)
    return write_page(tmp_path / "REPORT.md", tmp_path / "REPORT.html")


def test_the_page_needs_no_other_file(page: Path) -> None:
    text = page.read_text()
    sources = re.findall(r'src="([^"]+)"', text)
    assert len(sources) == 5  # a figure, and two clips with their spectrograms
    assert all(source.startswith("data:") for source in sources)
    assert not re.search(r'(?:src|href)="(?:https?:)?//|@import|url\(', text)
    clip = next(source for source in sources if source.startswith("data:audio"))
    assert base64.b64decode(clip.partition(",")[2]) == (page.parent / "one.flac").read_bytes()
    assert '<h2 id="scores-of-all">' in text
    assert '<a href="#scores-of-all">' in text


def test_arms_stand_beside_each_other(page: Path) -> None:
    row = re.search(r'“A tune.” <div class="clips">(.*?)</div>', page.read_text(), re.DOTALL)
    assert row
    assert re.findall(r"<figcaption>(\w+)</figcaption>", row[1]) == ["real", "ar"]  # the third was deleted
    pictures = re.findall(r'<img src="([^"]+)"', row[1])
    assert len(set(pictures)) == 2


def test_tables_inside_folded_parts_are_tables() -> None:
    assert "<table>" in render("<details><summary>x</summary>\n\n| a |\n| --- |\n| 1 |\n\n</details>")


def test_what_is_missing(tmp_path: Path) -> None:
    assert embedded(tmp_path / "gone.png") == "gone.png"
    with pytest.raises(UserError, match="bench report writes it"):
        write_page(tmp_path / "REPORT.md", tmp_path / "x.html")


@pytest.mark.skipif(not BROWSER, reason="no Chromium here (apt-get install chromium)")
def test_in_a_browser_tables_sort_pictures_zoom_and_clips_load(page: Path) -> None:
    """A script at the page's end does what a reader does, and writes down what came of it."""
    acts = """<script>
    const order = () => [...document.querySelectorAll("tbody tr")].map(row => row.cells[0].textContent || "+").join("");
    const heads = document.querySelectorAll("th"), found = [order()];
    for (const column of [1, 1, 0]) { heads[column].click(); found.push(order()); }
    const image = document.querySelector("details img");
    for (const _ of "ab") { image.click(); found.push(getComputedStyle(image).position); }
    const out = document.createElement("output"), clips = [...document.querySelectorAll("audio")];
    const loaded = clips.map(clip => new Promise(done => {
      clip.onloadedmetadata = clip.onerror = done; clip.preload = "auto"; clip.load();
    }));
    Promise.all(loaded).then(() => {
      out.id = "found"; out.textContent = [...found, clips.map(clip => clip.duration)].join("|");
      document.body.append(out);
    });
    </script>"""
    acted = page.with_name("acted.html")
    acted.write_text(page.read_text().replace("</body>", acts + "</body>"))
    command = [BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=20000", "--dump-dom"]
    profile = f"--user-data-dir={page.parent / 'profile'}"
    done = subprocess.run([*command, profile, acted.as_uri()], capture_output=True, text=True, timeout=300, check=False)
    said = re.search(r'<output id="found">(.*?)</output>', done.stdout)
    assert said, done.stderr[-2000:]
    assert html.unescape(said[1]) == "ba+c|a+bc|ba+c|a+bc|fixed|static|0.5,0.5"
