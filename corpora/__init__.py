"""Corpora: audio with captions and, where known, exact musical annotation.

    from paradigm_bench.corpora import load_corpus

    corpus = load_corpus("builtin", clips=100)        # procedural music, rendered on demand, no downloads
    corpus = load_corpus("/data/my_songs")            # any folder with a manifest.csv or manifest.jsonl
    for clip in corpus.clips("train"):
        clip.caption, clip.attributes, clip.audio(16_000), clip.annotation()

``procedural/`` composes and renders the built-in music, ``folder.py`` and ``manifest.py`` read folders, ``clip.py``
defines clips and annotations, ``extractors/`` detects chords, melody and beats in audio.
"""

from __future__ import annotations

from typing import Any

from ..common.registry import Registry
from .clip import Annotation, Clip, Corpus

__all__ = ["CORPORA", "Annotation", "Clip", "Corpus", "load_corpus"]

CORPORA = Registry(
    "corpus",
    {
        "builtin": "paradigm_bench.corpora.procedural.corpus:load_builtin",
        "builtin:fluidsynth": "paradigm_bench.corpora.procedural.soundfont:load_fluidsynth",
        "folder": "paradigm_bench.corpora.folder:load_folder",
    },
)


def load_corpus(
    spec: str, *, clips: int | None = None, seconds: float | None = None, seed: int = 0, captions: bool = True
) -> Corpus:
    """Load a corpus.

    Args:
        spec: ``"builtin"`` (procedural music), ``"builtin:fluidsynth"`` (the same music on a soundfont), a folder that
            holds manifest.csv or manifest.jsonl, the path of such a file, or the name of an installed plugin.
        clips: at most this many train clips (built-in: exactly this many, default 4000, with 256 valid and 512 test).
        seconds: length of the built-in clips, default 4.0; folders keep their own lengths.
        seed: of the built-in compositions; for a folder, of the valid split if it is carved from train.
        captions: False for audio that is used without captions: a folder's rows may then have none.

    Raises:
        UserError: the spec is unknown or its content is bad; the message names file, row and remedy.
    """
    name = spec if spec in CORPORA.names() and spec != "folder" else "folder"
    load = CORPORA.load(name)
    options: dict[str, Any] = {"clips": clips, "seconds": seconds, "seed": seed}
    corpus: Corpus = load(spec, captions=captions, **options) if name == "folder" else load(**options)
    return corpus
