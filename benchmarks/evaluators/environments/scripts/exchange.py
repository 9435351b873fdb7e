"""The protocol between the suite and a script that runs in an environment of its own: files in, files out.

A script is started with one argument, a folder that holds

    request.json          format, task, weights, model, captions, sample_rate, options, random, folder
    request.safetensors   arrays; the clips are "audio/000000", "audio/000001", ..., float32 (N,)

and writes to it ``reply.json`` (versions, digest of the weights, facts; or one line under "error") and
``reply.safetensors``. It imports nothing of the suite but this file, numpy and safetensors, so it can be run by hand
with any Python that has its dependencies.
"""

from __future__ import annotations

import hashlib
import json
import sys
import types
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file, save_file

FORMAT = 1
CORES = ("core", "_core")  # numpy's inner module, before and since version 2


class ScriptError(Exception):
    """An error that the user can correct; its message is one line."""


@dataclass(frozen=True)
class Request:
    """The request to a script.

    Attributes:
        task: one of the script's tasks.
        arrays: the named arrays.
        sample_rate: of the clips, Hz.
        captions: texts to embed; may be empty.
        weights: a local file or folder, or ``None`` for the package's own.
        model: one of the networks of a package that has several.
        random: use random weights instead, for a check of the installation.
        folder: of downloads and of local files.
        options: further settings of the task.
    """

    task: str
    arrays: dict[str, np.ndarray]
    sample_rate: int
    captions: list[str]
    weights: Path | None
    model: str
    random: bool
    folder: Path
    options: dict[str, Any]

    @property
    def clips(self) -> list[np.ndarray]:
        """The clips (N,), in order."""
        return [self.arrays[name] for name in sorted(self.arrays) if name.startswith("audio/")]

    def file(self, url: str) -> Path:
        """The weights file: the one given, else the one in ``folder``, else downloaded to it from ``url``."""
        if self.weights is not None:
            if not self.weights.is_file():
                raise ScriptError(
                    f"no weights file {self.weights.name}; give the path of a downloaded {Path(url).name}"
                )
            return self.weights
        target = self.folder / url.split("?")[0].rsplit("/", 1)[-1]
        if not target.exists():
            self.folder.mkdir(parents=True, exist_ok=True)
            part = target.with_suffix(".part")
            try:
                urllib.request.urlretrieve(url, part)
            except OSError as error:
                raise ScriptError(f"cannot download {url} ({error}); put the file at {target}") from error
            part.rename(target)
        return target


@dataclass
class Reply:
    """The reply of a script: arrays, the digest of the weights (``None``: it has none), and JSON-ready facts."""

    arrays: dict[str, np.ndarray]
    weights: str | None = None
    facts: dict[str, Any] = field(default_factory=dict)


def serve(tasks: Mapping[str, Callable[[Request], Reply]], packages: Sequence[str]) -> None:
    """Read the request, run its task, and write the reply; ``packages`` are those that decide the result."""
    folder = Path(sys.argv[1])
    data = json.loads((folder / "request.json").read_text())
    try:
        if data.pop("format") != FORMAT or data["task"] not in tasks:
            raise ScriptError(f"format {FORMAT} with the tasks {', '.join(tasks)} is what this script knows")
        arrays = load_file(folder / "request.safetensors")
        weights, store = data.pop("weights"), Path(data.pop("folder"))
        request = Request(arrays=arrays, weights=Path(weights) if weights else None, folder=store, **data)
        reply = tasks[request.task](request)
    except ScriptError as problem:
        (folder / "reply.json").write_text(json.dumps({"format": FORMAT, "error": str(problem)}))
        return
    save_file({name: np.ascontiguousarray(a) for name, a in reply.arrays.items()}, folder / "reply.safetensors")
    versions = {name: version(name) for name in packages}
    facts = {"format": FORMAT, "versions": versions, "weights": reply.weights, "facts": reply.facts}
    (folder / "reply.json").write_text(json.dumps(facts))


def digest(module: Any) -> str:
    """Hex digest (16 digits) of a torch module's parameters and buffers."""
    total = hashlib.sha256()
    for name, tensor in sorted(module.state_dict().items()):
        total.update(name.encode() + tensor.detach().cpu().contiguous().float().numpy().tobytes())
    return total.hexdigest()[:16]


def checkpoint(path: Path) -> Any:
    """A torch checkpoint, read without unpickling code; plain numpy arrays and numbers in it are allowed."""
    import torch
    from numpy._core import multiarray

    rebuild = [multiarray._reconstruct, multiarray.scalar]
    plain: list[Any] = [np.ndarray, np.dtype, *{type(np.dtype(kind)) for kind in "?bhilqBHILQefd"}]
    plain += [(function, f"numpy.{core}.multiarray.{function.__name__}") for function in rebuild for core in CORES]
    try:
        with torch.serialization.safe_globals(plain):
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise ScriptError(f"{path.name} is no readable checkpoint; download it anew") from error


def fill(module: Any, state: Mapping[str, Any], name: str) -> None:
    """Load weights into ``module``.

    Raises:
        ScriptError: they belong to another network.
    """
    try:
        module.load_state_dict(state)
    except (RuntimeError, TypeError, AttributeError) as error:
        raise ScriptError(f"{name} holds another network's weights: {' '.join(str(error).split())[:160]}") from error


def import_torchaudio() -> None:
    """Import torchaudio, without its compiled part where that cannot be loaded (with a CPU build of torch).

    Resampling, mels and filters are written in Python and work without it. Loading and saving files do not, but scripts
    are given arrays.
    """
    try:
        import torchaudio
    except (ImportError, OSError, RuntimeError):
        for name in [name for name in sys.modules if name.partition(".")[0] == "torchaudio"]:
            del sys.modules[name]
        empty = types.ModuleType("torchaudio._extension")
        empty.__dict__.update(
            _IS_TORCHAUDIO_EXT_AVAILABLE=False,
            _IS_ALIGN_AVAILABLE=False,
            _check_cuda_version=lambda *arguments: None,
            fail_if_no_align=lambda function: function,
        )
        sys.modules["torchaudio._extension"] = empty
        import torchaudio  # noqa: F401
