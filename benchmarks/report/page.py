"""REPORT.md as one static page that needs no other file: tables sort, figures zoom, clips play beside spectrograms.

The page is the Markdown, rendered; nothing is told twice. Pictures and clips become data URIs, so it can be sent
around; links to records stay relative to where the page was written. No script is loaded from anywhere.
"""

from __future__ import annotations

import base64
import html
import io
import itertools
import re
from pathlib import Path

from common.errors import UserError
from common.files import write_text

TEMPLATE = Path(__file__).with_name("page.html")
KINDS = {".png": "image/png", ".svg": "image/svg+xml", ".flac": "audio/flac", ".wav": "audio/wav"}
CLIP = re.compile(r'<a href="([^"]+\.(?:flac|wav))">(.*?)</a>(?: · )?')
IMAGE = re.compile(r'<img src="([^":]+)"')


def write_page(report: Path, out: Path) -> Path:
    """Render the Markdown file ``report`` to the page ``out``.

    Raises:
        UserError: there is no report yet.
    """
    try:
        text = report.read_text(encoding="utf-8")
    except OSError as error:
        raise UserError(f"{report}: {error.strerror}; bench report writes it") from error
    home = report.resolve().parent
    body = "\n".join(_players(line, home) for line in render(text).splitlines())
    body = IMAGE.sub(lambda found: f'<img src="{embedded(home / html.unescape(found[1]))}"', body)
    title = re.search(r"^# (.+)$", text, re.MULTILINE)
    page = TEMPLATE.read_text(encoding="utf-8").replace("{title}", html.escape(title[1] if title else report.stem))
    write_text(out, page.replace("{body}", body))
    return out


def render(text: str) -> str:
    """GitHub's Markdown as HTML, headings with the anchors that links name."""
    from markdown_it import MarkdownIt

    from benchmarks.report.chapter import anchor

    parser = MarkdownIt("commonmark", {"html": True}).enable("table")
    tokens = parser.parse(text)
    for opening, inside in itertools.pairwise(tokens):
        if opening.type == "heading_open":
            opening.attrSet("id", anchor(inside.content))
    return str(parser.renderer.render(tokens, parser.options, {}))


def embedded(path: Path) -> str:
    """A file as a data URI; its bare name where it is not there (audio may have been deleted to save space)."""
    if not path.is_file() or path.suffix not in KINDS:
        return path.name
    return f"data:{KINDS[path.suffix]};base64,{base64.b64encode(path.read_bytes()).decode()}"


def _players(line: str, home: Path) -> str:
    """Links to clips on one line become players side by side, each below its spectrogram."""
    found = [(home / html.unescape(target), name) for target, name in CLIP.findall(line)]
    held = [(path, name) for path, name in found if path.is_file()]
    if not held:
        return line
    figures = "".join(
        f'<figure><img src="{spectrogram(path)}" alt="spectrogram">'
        f'<audio controls preload="none" src="{embedded(path)}"></audio><figcaption>{name}</figcaption></figure>'
        for path, name in held
    )
    before = line[: CLIP.search(line).start()]  # type: ignore[union-attr]
    after = CLIP.sub("", line[len(before) :])
    return f'{before}<div class="clips">{figures}</div>{after}'


def spectrogram(path: Path) -> str:
    """Log-frequency spectrogram of a clip, 70 dB range, as a data URI of a small PNG."""
    import numpy as np
    from matplotlib import colormaps
    from PIL import Image

    from benchmarks.report.fidelity.figures import log_spectrogram

    level = log_spectrogram(path)
    shade = (level - level.min()) / max(1e-9, level.max() - level.min())
    pixels = (colormaps["magma"](shade[::-1])[..., :3] * 255).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).quantize(colors=64).save(buffer, format="PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"
