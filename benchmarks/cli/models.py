"""``bench models``: print the number of parameters of each paradigm at each size, part by part."""

from __future__ import annotations

from typing import Annotated

import typer

from ...common.console import shown
from .options import Json


def models(
    preset: Annotated[list[str], typer.Option(help="Only this size preset; repeatable. Default: all.")] = [],  # noqa: B006
    paradigm: Annotated[
        list[str], typer.Option("--paradigm", "-p", help="Only this paradigm; repeatable. Default: all.")
    ] = [],  # noqa: B006
    as_json: Json = False,
) -> None:
    """Print parameter counts per size preset and paradigm.

    All arms of a comparison share the backbone's shape; they differ in the heads and embeddings of their paradigm.
    The counts are for the built-in codec's latents (dim 32, 4 codebooks of 512) and a vocabulary of 200 words.

    \b
    Examples:
      bench models
      bench models --preset 400m --paradigm ar --paradigm fm
    """
    import torch

    from ... import paradigms
    from ...backbones import PRESETS
    from ...backbones.config import preset as backbone_preset
    from ...representations.shapes import BUILTIN_LATENT
    from ...representations.text.encoders import TextSpec

    text = TextSpec(kind="tokens", dim=0, vocabulary=tuple(f"w{i}" for i in range(200)), max_length=64)
    rows, parts = [], dict[str, None]()
    for size in preset or list(PRESETS):
        for name in paradigm or paradigms.names():
            with torch.device("meta"):
                counts = paradigms.build(name, {}, backbone_preset(size), BUILTIN_LATENT, text).parameter_counts()
            rows.append((size, name, counts))
            parts.update(dict.fromkeys(counts))
    ordered = sorted(parts, key=lambda part: -max(counts.get(part, 0) for _, _, counts in rows))
    body = [[size, name, sum(c.values()), *(c.get(part, "") for part in ordered)] for size, name, c in rows]
    print(shown(["preset", "paradigm", "total", *ordered], body, as_json))
