"""The published packages that judges take their weights from, and reading those weights.

Weights are kept as safetensors with the names of our modules. The digest of each file's tensors is stated here and
compared whenever weights are read, so that a judge of one name is the same everywhere.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file

from ....common.errors import UserError
from ....common.files import cache_dir

Tensors = Mapping[str, NDArray[np.float32]]
SHIPPED = Path(__file__).parents[1] / "weights"


@dataclass(frozen=True)
class Package:
    """A package on PyPI whose wheel carries published weights.

    Attributes:
        judge: name of the evaluator.
        name, version: of the package.
        model: which of the package's models.
        licence: of its weights.
        wheel_sha256: of the wheel file.
        weights_sha256: ``digest`` of the converted tensors.
        about: one line for listings.
    """

    judge: str
    name: str
    version: str
    model: str
    licence: str
    wheel_sha256: str
    weights_sha256: str
    about: str

    @property
    def folder(self) -> Path:
        """Of installed weights; a wheel that was fetched by hand is found here too."""
        return cache_dir("weights", self.judge)

    @property
    def file(self) -> Path:
        """The weights, shipped or installed; it need not exist."""
        shipped = SHIPPED / self.judge / "weights.safetensors"
        return shipped if shipped.exists() else self.folder / "weights.safetensors"

    @property
    def checkpoint(self) -> str:
        """Package, version, model and digest of the weights, for records."""
        return f"{self.name} {self.version}, {self.model}, weights sha256 {self.weights_sha256}"

    def installed(self) -> bool:
        """Whether the weights are shipped or installed."""
        return self.file.exists()


MUSICNN_WHEEL = "f38a4890c648c1ddbb141c5d96d2b0a8cfcd36746002d896989f7b88beb65cfa"
AISFX_WHEEL = "bfe219950715af179e9a1653e7117cc1852baef267cd6596c42cad74afe1d194"
PACKAGES = {
    "musicnn": Package(
        judge="musicnn",
        name="musicnn",
        version="0.1.0",
        model="MTT_musicnn",
        licence="ISC",
        wheel_sha256=MUSICNN_WHEEL,
        weights_sha256="0cd094a200c7f922b12c7172c09fe26dfdf5502791b61e06543ec262f8bc7696",
        about="tags of music, learnt from MagnaTagATune",
    ),
    "musicnn_msd": Package(
        judge="musicnn_msd",
        name="musicnn",
        version="0.1.0",
        model="MSD_musicnn",
        licence="ISC",
        wheel_sha256=MUSICNN_WHEEL,
        weights_sha256="30e6ba9f7d2f224bdd9f5d3fb3fbf6d62898d86161eb976ee3adee00cb39a9bc",
        about="tags of music, learnt from the Million Song Dataset",
    ),
    "aisfx": Package(
        judge="aisfx",
        name="aisfx",
        version="0.1.2",
        model="X-Sequential-CE",
        licence="CC BY 4.0 (A. B. Ma and A. Lerch, 2022)",
        wheel_sha256=AISFX_WHEEL,
        weights_sha256="0d74f89c159763169348269e8802e5615a6bc55b5c601700c0c9fb935007ccb8",
        about="classes of sound effects",
    ),
}


def digest(tensors: Tensors) -> str:
    """Hex SHA-256 of names, shapes and little-endian float32 values, in the order of names."""
    found = hashlib.sha256()
    for name, values in sorted(tensors.items()):
        found.update(f"{name}{values.shape}".encode() + np.ascontiguousarray(values, "<f4").tobytes())
    return found.hexdigest()


def load_weights(package: Package) -> Tensors:
    """The weights of a judge.

    Raises:
        UserError: not installed, or not the published weights.
    """
    file = package.file
    if not file.exists():
        raise UserError(f"{package.judge} has no weights here; run `bench evaluators install {package.judge}`")
    try:
        tensors = load_file(file)
    except (OSError, SafetensorError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"{file}: {reason}; delete it and run `bench evaluators install {package.judge}`") from error
    if digest(tensors) != package.weights_sha256:
        again = f"delete it and run `bench evaluators install {package.judge}`"
        raise UserError(f"{file}: not the weights of {package.name} {package.version}; {again}")
    return tensors
