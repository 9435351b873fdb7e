"""Markdown documents as one HTML page: navigation, a section per document that can be folded, figures, audio players.

The page contains the text of the Markdown and nothing else. Pictures and clips are embedded as data URIs and no script
or font is loaded, so that the page is one file. Links between the documents lead to their sections; links to other
files are relative to where the page was written.

Packages for Markdown and pictures are imported inside functions, so that the command line starts without them.
"""

from __future__ import annotations

import base64
import html
import io
import itertools
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote

import numpy as np

from ...common.files import write_text
from .chapter import anchor
from .clips import log_spectrogram

if TYPE_CHECKING:
    from markdown_it.token import Token

TEMPLATE, STYLE, SCRIPT = (Path(__file__).with_name(f"page.{kind}") for kind in ("html", "css", "js"))
KINDS = {".png": "image/png", ".svg": "image/svg+xml", ".flac": "audio/flac", ".wav": "audio/wav"}
CLIP = re.compile(r'<a href="([^"]+\.(?:flac|wav))">(.*?)</a>(?: · )?')
IMAGE = re.compile(r'<img\b[^>]*?\bsrc="([^":]+)"[^>]*>')
LINK = re.compile(r'<a href="([^"]+)"')
HEADING = re.compile(r'<h([1-6]) id="([^"]+)">(.*?)</h\1>', re.DOTALL)

LONG_HEAD, LONG_CELL = 22, 40  # characters; longer headings and cells wrap
LONG_COLUMN = 35  # characters; tables with a column of a larger mean length become cards on a phone


@dataclass(frozen=True)
class Section:
    """A Markdown document as a part of the page.

    Attributes:
        title: the name in the navigation, from which the section's anchor is made.
        group: the heading above it in the navigation.
        text: Markdown; a first heading of level 1 becomes the heading of the section.
        home: the folder that relative links start from.
        document: the name of the file in ``home``; links to that file lead to the section.
    """

    title: str
    group: str
    text: str
    home: Path
    document: str = "README.md"


def write_page(title: str, sections: Sequence[Section], out: Path) -> Path:
    """Write the page ``out``; the first section is open. Returns ``out``."""
    names = _unique(anchor(section.title) for section in sections)
    files = {(section.home / section.document).resolve(): name for section, name in zip(sections, names)}
    bodies = [_body(section, name, files, out.resolve().parent) for section, name in zip(sections, names)]
    parts = {
        "title": html.escape(title),
        "style": STYLE.read_text(encoding="utf-8"),
        "script": SCRIPT.read_text(encoding="utf-8"),
        "navigation": _navigation(sections, names, bodies),
        "body": "".join(_folds(sections, names, bodies)),
    }
    write_text(out, re.sub(r"\{\{(\w+)\}\}", lambda found: parts[found[1]], TEMPLATE.read_text(encoding="utf-8")))
    return out


def render(text: str) -> str:
    """GitHub's Markdown as HTML, with anchors on headings and a frame to scroll in around tables."""
    from markdown_it import MarkdownIt

    parser = MarkdownIt("commonmark", {"html": True}).enable("table")
    tokens = parser.parse(text)
    headings = [pair for pair in itertools.pairwise(tokens) if pair[0].type == "heading_open"]
    for (opening, _), name in zip(headings, _unique(anchor(_plain(inside)) for _, inside in headings)):
        opening.attrSet("id", name)
    opened = [i for i, token in enumerate(tokens) if token.type == "table_open"]
    closed = [i for i, token in enumerate(tokens) if token.type == "table_close"]
    for first, last in zip(opened, closed):
        _mark_table(tokens[first:last])
    page = str(parser.renderer.render(tokens, parser.options, {}))
    frame = '<div class="wide"><div class="scroller" role="region" aria-label="Table" tabindex="0">'
    return re.sub(r"<table\b", frame + "<table", page).replace("</table>", "</table></div></div>")


def embedded(path: Path) -> str:
    """A picture or clip as a data URI."""
    return f"data:{KINDS[path.suffix]};base64,{base64.b64encode(path.read_bytes()).decode()}"


def spectrogram(path: Path) -> str:
    """Log-frequency spectrogram of a clip, 70 dB range, as a data URI of a small PNG."""
    from matplotlib import colormaps
    from PIL import Image

    level = log_spectrogram(path)
    shade = (level - level.min()) / max(1e-9, level.max() - level.min())
    pixels = (colormaps["magma"](shade[::-1])[..., :3] * 255).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).quantize(colors=64).save(buffer, format="PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def _unique(names: Iterable[str]) -> list[str]:
    """Unique names: "-1", "-2" ... is added to repeated ones, as GitHub does for equal headings."""
    counts: dict[str, int] = {}
    found = []
    for name in names:
        counts[name] = counts.get(name, -1) + 1
        found.append(f"{name}-{counts[name]}" if counts[name] else name)
    return found


def _plain(inline: Token) -> str:
    return "".join(child.content for child in inline.children or [] if child.type in ("text", "code_inline"))


def _mark_table(tokens: Sequence[Token]) -> None:
    """Set the attributes that the style uses: cells that wrap, tables that become cards on a phone, labels of cards."""
    cells = [(opening, _plain(inside)) for opening, inside in itertools.pairwise(tokens) if inside.type == "inline"]
    heads = [text for opening, text in cells if opening.type == "th_open"]
    data = [cell for cell in cells if cell[0].type == "td_open"]
    for i, (opening, _) in enumerate(data):
        opening.attrSet("data-label", heads[i % len(heads)])
    for opening, text in cells:
        if len(text) > (LONG_HEAD if opening.type == "th_open" else LONG_CELL):
            opening.attrSet("class", "long")
    columns = [[len(text) for _, text in data[column :: len(heads)] if text] for column in range(len(heads))]
    if any(sum(lengths) > LONG_COLUMN * len(lengths) for lengths in columns):
        tokens[0].attrSet("class", "cards")


def _body(section: Section, name: str, files: Mapping[Path, str], folder: Path) -> tuple[str, str]:
    text = "\n".join(_players(line, section.home) for line in render(section.text).splitlines())
    text = IMAGE.sub(partial(_picture, section.home), text)
    text = LINK.sub(lambda found: f'<a href="{_target(html.unescape(found[1]), section, files, folder)}"', text)
    text = HEADING.sub(lambda found: _heading(min(int(found[1]) + 1, 6), name, found[2], found[3]), text)
    first = re.match(r"\s*(<h2 .*?</h2>)", text, re.DOTALL)
    if first:
        return first[1], text[first.end() :]
    return f"<h2>{html.escape(section.title)}</h2>", text


def _heading(level: int, name: str, ident: str, text: str) -> str:
    """A heading one level deeper than in its document, with an anchor that is unique to the section."""
    return f'<h{level} id="{name}--{ident}">{text}</h{level}>'


def _target(link: str, section: Section, files: Mapping[Path, str], folder: Path) -> str:
    """The target of a link of the section, for a page in ``folder``."""
    if re.match(r"[a-z][a-z0-9+.-]*:|//", link, re.IGNORECASE):
        return html.escape(link)
    path, _, fragment = link.partition("#")
    file = (section.home / (unquote(path) or section.document)).resolve()
    name = files.get(file) or files.get(file / "README.md")
    if name:
        return f"#{name}--{fragment}" if fragment else f"#{name}"
    way = quote(Path(os.path.relpath(file, folder)).as_posix())
    return f"{way}#{fragment}" if fragment else way


def _picture(home: Path, found: re.Match[str]) -> str:
    """An embedded image with its size, so that the layout does not shift; its text if the file is missing."""
    from PIL import Image

    path = home / unquote(html.unescape(found[1]))
    if not path.is_file() or path.suffix not in KINDS:
        text = re.search(r'\balt="([^"]*)"', found[0])
        return f"<span>{text[1] if text else ''}</span>"
    tag = found[0].replace(f'src="{found[1]}"', f'src="{embedded(path)}"')
    if path.suffix != ".png":
        return tag
    with Image.open(path) as opened:
        width, height = opened.size
    return tag.replace("<img", f'<img width="{width}" height="{height}"')


def _players(line: str, home: Path) -> str:
    """The line with its links to clips replaced by players side by side, each with a spectrogram."""
    found = [(home / unquote(html.unescape(target)), name) for target, name in CLIP.findall(line)]
    if not any(path.is_file() for path, _ in found):
        return line
    before = line[: CLIP.search(line).start()]  # type: ignore[union-attr]
    players = "".join(_player(path, name) for path, name in found)
    return f'{before}<span class="clips">{players}</span>{CLIP.sub("", line[len(before) :])}'


def _player(path: Path, name: str) -> str:
    if not path.is_file():
        return f'<span class="clip"><b>{name}</b>This clip is not kept.</span>'
    return (
        f'<span class="clip"><b>{name}</b><img src="{spectrogram(path)}" alt="spectrogram of {name}">'
        f'<audio controls preload="none" src="{embedded(path)}" aria-label="{name}"></audio></span>'
    )


def _navigation(sections: Sequence[Section], names: Sequence[str], bodies: Sequence[tuple[str, str]]) -> str:
    """Links to the sections by group, or to the headings of a single section."""
    if len(sections) == 1:
        found = re.findall(r'<h3 id="([^"]+)">(.*?)</h3>', bodies[0][1], re.DOTALL)
        groups = {html.escape(sections[0].title): [(ident, re.sub(r"<[^>]+>", "", text)) for ident, text in found]}
    else:
        groups = {}
        for section, name in zip(sections, names):
            groups.setdefault(html.escape(section.group), []).append((name, html.escape(section.title)))
    return "".join(
        ("" if [group] == [text for _, text in links] else f"<p>{group}</p>")
        + "<ul>"
        + "".join(f'<li><a href="#{name}">{text}</a></li>' for name, text in links)
        + "</ul>"
        for group, links in groups.items()
    )


def _folds(sections: Sequence[Section], names: Sequence[str], bodies: Sequence[tuple[str, str]]) -> list[str]:
    """Every section as a part that can be folded, below the name of its group if that differs from its title."""
    found, group = [], ""
    for section, name, (heading, body) in zip(sections, names, bodies):
        if section.group not in (group, section.title) and len(sections) > 1:
            found.append(f'<p class="group">{html.escape(section.group)}</p>')
        group = section.group
        state = " open" if name == names[0] else ""
        found.append(f'<details class="section" id="{name}"{state}><summary>{heading}</summary>\n{body}\n</details>\n')
    return found
