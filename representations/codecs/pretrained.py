"""Published weights from a local folder or a model hub, with one-line errors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ...common.errors import UserError


def load_pretrained(factory: Any, source: str, what: str, **options: Any) -> Any:
    """``factory.from_pretrained(source)``; a modest wrapper that turns every failure into one line.

    Args:
        factory: a transformers or diffusers class.
        source: a folder that ``save_pretrained`` wrote, or a hub id such as ``"facebook/encodec_32khz"``.
        what: what is being loaded, for the error.
        options: of ``from_pretrained``, e.g. ``subfolder``.

    Raises:
        UserError: no such folder, or the hub does not have it or cannot be reached.
    """
    folder = Path(source).expanduser()
    looks_local = source.startswith(("/", ".", "~")) or source.count("/") > 1
    if not source or (looks_local and not folder.is_dir()):
        raise UserError(f"no {what} at {source!r}; give a folder that save_pretrained wrote, or a hub id")
    try:
        return factory.from_pretrained(str(folder) if folder.is_dir() else source, **options)
    except Exception as error:  # hubs and loaders raise a dozen kinds; the user needs the one line
        reason = str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__
        raise UserError(f"cannot load {what} {source!r}: {reason}; give the folder of a downloaded copy") from error
