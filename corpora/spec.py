"""Which corpus a study uses, as its YAML file states it."""

from __future__ import annotations

from dataclasses import dataclass

from . import Corpus, load_corpus


@dataclass(frozen=True)
class CorpusChoice:
    """The arguments of ``load_corpus``, which describes them, under the same names."""

    spec: str = "builtin"
    clips: int | None = None
    seconds: float | None = None
    seed: int = 0

    def load(self, captions: bool = True) -> Corpus:
        """The corpus itself; see ``load_corpus`` for ``captions`` and for errors."""
        return load_corpus(self.spec, clips=self.clips, seconds=self.seconds, seed=self.seed, captions=captions)
