"""Installing a judge's weights: reading what was published, and every way in which fetching it can fail."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import struct
import subprocess
import zipfile
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from paradigm_bench.benchmarks.cli.main import status
from paradigm_bench.benchmarks.evaluators import get_evaluator
from paradigm_bench.benchmarks.evaluators.judges import install, weights
from paradigm_bench.benchmarks.evaluators.judges.aisfx import AisfxNetwork
from paradigm_bench.benchmarks.evaluators.judges.musicnn import MusicnnNetwork
from paradigm_bench.benchmarks.evaluators.judges.tensorflow_bundle import read_bundle
from paradigm_bench.common.errors import UserError


def varint(number: int) -> bytes:
    found = b""
    while number > 127:
        found, number = found + bytes([number & 127 | 128]), number >> 7
    return found + bytes([number])


def block(entries: Sequence[tuple[bytes, bytes]]) -> bytes:
    """A block of a LevelDB table, with shared beginnings of keys left out."""
    found, last = b"", b""
    for key, value in entries:
        shared = next((i for i, (a, b) in enumerate(zip(last, key)) if a != b), min(len(last), len(key)))
        found += varint(shared) + varint(len(key) - shared) + varint(len(value)) + key[shared:] + value
        last = key
    return found + struct.pack("<II", 0, 1)


def bundle(tensors: dict[str, np.ndarray]) -> tuple[bytes, bytes]:
    """Index and data of a TensorFlow checkpoint, after tensor_bundle.proto and LevelDB's table format."""
    data, entries = b"", [(b"", b"\x08\x01")]
    for name, values in sorted(tensors.items()):
        dims = b"".join(b"\x12" + varint(len(d)) + d for d in (b"\x08" + varint(n) for n in values.shape))
        content = values.tobytes()
        kind = b"\x08\x01" if values.dtype == np.float32 else b"\x08\x09"  # float or int64
        entry = kind + b"\x12" + varint(len(dims)) + dims + b"\x20" + varint(len(data))
        entries.append((name.encode(), entry + b"\x28" + varint(len(content)) + b"\x35" + b"\0" * 4))
        data += content
    index, handles = b"", []
    for part in (entries[:3], entries[3:]):
        body = block(part)
        handles.append((part[-1][0], varint(len(index)) + varint(len(body))))
        index += body + b"\0" * 5
    top = block(handles)
    footer = (b"\0\0" + varint(len(index)) + varint(len(top))).ljust(40, b"\0")
    return index + top + b"\0" * 5 + footer + struct.pack("<Q", 0xDB4775248B80FB57), data


def test_a_bundle_is_read_as_written() -> None:
    rng = np.random.default_rng(0)
    tensors = {
        f"layer_{i}/kernel": rng.standard_normal(shape).astype(np.float32)
        for i, shape in enumerate([(7, 38, 1, 204), (3,), (), (200, 2), (1, 1)])
    }
    index, data = bundle({**tensors, "step": np.array([7], np.int64)})
    found = read_bundle(index, data)
    assert set(found) == set(tensors)
    for name, values in tensors.items():
        assert found[name].shape == values.shape
        assert np.array_equal(found[name], values)
    with pytest.raises(UserError, match="beyond the end of the data"):
        read_bundle(index, data[:-40])
    with pytest.raises(UserError, match="not the index of a TensorFlow checkpoint"):
        read_bundle(index[:-1], data)


def names(kind: str, n: int) -> list[str]:
    return [f"{kind}_{i}" if i else kind for i in range(n)]


def musicnn_tensors(seed: int = 0) -> dict[str, np.ndarray]:
    """What TensorFlow's check point of musicnn holds, with random values."""
    rng = np.random.default_rng(seed)
    kernels = [(7, 38, 1, 204), (7, 67, 1, 204), *((n, 1, 1, 51) for n in (128, 64, 32))]
    kernels += [(7, n, 1, 64) for n in (561, 64, 64)]
    shapes = {}
    for name, shape in zip(names("conv2d", 8), kernels):
        shapes |= {f"{name}/kernel": shape, f"{name}/bias": shape[3:]}
    for name, size in zip(names("batch_normalization", 11), (1, 204, 204, 51, 51, 51, 64, 64, 64, 1506, 200)):
        shapes |= {f"{name}/{part}": (size,) for part in ("gamma", "beta", "moving_mean", "moving_variance")}
    for name, shape in zip(names("dense", 2), ((1506, 200), (200, 50))):
        shapes |= {f"{name}/kernel": shape, f"{name}/bias": shape[1:]}
    return {name: rng.random(shape, np.float32) for name, shape in shapes.items()}


def wheel(files: dict[str, bytes]) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return content.getvalue()


def musicnn_wheel(model: str = "MSD_musicnn", seed: int = 0) -> bytes:
    index, data = bundle(musicnn_tensors(seed))
    return wheel({f"musicnn/{model}/.index": index, f"musicnn/{model}/.data-00000-of-00001": data})


def test_musicnns_tensors_find_their_layers() -> None:
    """The kernels' axes by hand: a response of the converted layer equals the sum over TensorFlow's kernel."""
    package = weights.PACKAGES["musicnn_msd"]
    tensors = install.musicnn_weights(package, zipfile.ZipFile(io.BytesIO(musicnn_wheel())))
    network, theirs = MusicnnNetwork().eval(), musicnn_tensors()
    network.load_state_dict({name: torch.from_numpy(values) for name, values in tensors.items()})
    rng = np.random.default_rng(1)
    patch_TF = rng.random((7, 38), np.float32)
    with torch.inference_mode():
        ours = network.timbral[0].conv(torch.from_numpy(patch_TF)[None, None])[0, :, 0, 0].numpy()
    expected = np.einsum("tf,tfo->o", patch_TF, theirs["conv2d/kernel"][:, :, 0]) + theirs["conv2d/bias"]
    assert ours == pytest.approx(expected, rel=1e-4)
    wide_TC = rng.random((7, 561), np.float32)
    with torch.inference_mode():
        ours = network.middle[0].conv(torch.from_numpy(wide_TC.T.copy())[None])[0, :, 3].numpy()
    expected = np.einsum("tc,tco->o", wide_TC, theirs["conv2d_5/kernel"][:, :, 0]) + theirs["conv2d_5/bias"]
    assert ours == pytest.approx(expected, rel=1e-4)
    assert np.array_equal(network.dense_norm.running_var.numpy(), theirs["batch_normalization_10/moving_variance"])


def aisfx_wheel() -> bytes:
    """A checkpoint as published: two heads, numbers of classes as numpy scalars."""
    network, state = AisfxNetwork(), {}
    for i in range(8):
        block, layer = f"embedding_net.conv_block{i // 2 + 1}", i % 2 + 1
        state[f"{block}.conv{layer}.weight"] = network.convs[i].weight.detach()
        state |= {f"{block}.bn{layer}.{name}": value for name, value in network.norms[i].state_dict().items()}
    state |= {f"fc.0.{name}": torch.zeros(value.shape) for name, value in network.head.state_dict().items()}
    state |= {f"fc.1.{name}": value for name, value in network.head.state_dict().items()}
    content = io.BytesIO()
    torch.save((state, {"other": (np.int64(0), 78), "prosfx": (np.int64(1), 78)}), content)
    return wheel({"aisfx/models/checkpoint.pth": content.getvalue()})


def test_aisfxs_tensors_find_their_layers() -> None:
    tensors = install.aisfx_weights(weights.PACKAGES["aisfx"], zipfile.ZipFile(io.BytesIO(aisfx_wheel())))
    network = AisfxNetwork().eval()
    network.load_state_dict({name: torch.from_numpy(values.copy()) for name, values in tensors.items()})
    assert bool(network.head[0].weight.abs().max() > 0)  # the head called prosfx, not the first


def test_a_checkpoint_with_other_objects_is_not_unpickled() -> None:
    content = io.BytesIO()
    torch.save((subprocess.Popen, {}), content)
    made = wheel({"aisfx/models/checkpoint.pth": content.getvalue()})
    with pytest.raises(Exception, match="Weights only load failed"):
        install.aisfx_weights(weights.PACKAGES["aisfx"], zipfile.ZipFile(io.BytesIO(made)))


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> weights.Package:
    """musicnn_msd as if other weights had been published, with an empty cache folder."""
    monkeypatch.setenv("PARADIGM_BENCH_CACHE", str(tmp_path / "cache"))
    original, content = weights.PACKAGES["musicnn_msd"], musicnn_wheel()
    tensors = install.musicnn_weights(original, zipfile.ZipFile(io.BytesIO(content)))
    hashes = {"wheel_sha256": hashlib.sha256(content).hexdigest(), "weights_sha256": weights.digest(tensors)}
    made = dataclasses.replace(original, **hashes)
    monkeypatch.setitem(weights.PACKAGES, "musicnn_msd", made)
    return made


def pip(monkeypatch: pytest.MonkeyPatch, content: bytes | None, error: str = "") -> list[list[str]]:
    """Let pip bring ``content`` or fail; returns the list that its calls are added to."""
    calls = []

    def run(command: list[str], **options: object) -> SimpleNamespace:
        calls.append(command)
        if content is not None:
            Path(command[command.index("--dest") + 1], "musicnn-0.1.0-py3-none-any.whl").write_bytes(content)
        return SimpleNamespace(returncode=int(content is None), stdout="", stderr=error)

    monkeypatch.setattr(install, "subprocess", SimpleNamespace(run=run))
    return calls


def test_installed_once_and_used(
    package: weights.Package, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    calls = pip(monkeypatch, musicnn_wheel())
    with pytest.raises(UserError, match="run `bench evaluators install musicnn_msd`"):
        get_evaluator("musicnn_msd")
    for _ in range(2):
        assert status(["evaluators", "install", "musicnn_msd"]) == 0
    assert len(calls) == 1
    assert {"--no-deps", "musicnn==0.1.0"} <= set(calls[0])
    assert package.file == package.folder / "weights.safetensors"
    assert str(package.file) in capsys.readouterr().out
    assert get_evaluator("musicnn_msd").evaluate([np.zeros(8000, np.float32)], 16_000).embeddings.shape == (1, 200)


def test_a_wheel_that_was_fetched_by_hand_needs_no_network(
    package: weights.Package, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = pip(monkeypatch, None)
    package.folder.mkdir(parents=True)
    (package.folder / "musicnn-0.1.0-py3-none-any.whl").write_bytes(musicnn_wheel())
    assert install.install_weights(package).exists()
    assert not calls


@pytest.mark.parametrize(
    ("content", "error", "message"),
    [
        (None, "/usr/bin/python: No module named pip", r"\(.*No module named pip\); check pip"),
        (None, "WARNING: retry\nERROR: No matching distribution found for musicnn==0.1.0", "No matching distribution"),
        (None, "ERROR: Could not install: [Errno 28] No space left on device", "No space left on device"),
        (None, "", "no wheel arrived"),
        (b"<html>a portal</html>", "", "has sha256 .*; fetch it anew from pypi.org"),
    ],
)
def test_what_fails_is_told_in_one_line_and_leaves_nothing(
    package: weights.Package, monkeypatch: pytest.MonkeyPatch, content: bytes | None, error: str, message: str
) -> None:
    pip(monkeypatch, content, error)
    with pytest.raises(UserError, match=message) as told:
        install.install_weights(package)
    assert "\n" not in str(told.value)
    assert not list(package.folder.glob("*"))
    assert not package.installed()


def test_a_wheel_with_other_weights_is_refused(package: weights.Package, monkeypatch: pytest.MonkeyPatch) -> None:
    other = musicnn_wheel(seed=1)
    pip(monkeypatch, other)
    with pytest.raises(UserError, match="are not those of MSD_musicnn"):
        install.install_weights(dataclasses.replace(package, wheel_sha256=hashlib.sha256(other).hexdigest()))
    assert not package.installed()


def test_a_full_disk_is_told(package: weights.Package, monkeypatch: pytest.MonkeyPatch, small_disk: Path) -> None:
    pip(monkeypatch, musicnn_wheel())
    monkeypatch.setenv("PARADIGM_BENCH_CACHE", str(small_disk))
    with pytest.raises(UserError, match=r"cannot write .*free space or choose another folder"):
        install.install_weights(package)
    assert not list(package.folder.glob("*"))


def test_damaged_weights_are_refused(package: weights.Package, monkeypatch: pytest.MonkeyPatch) -> None:
    pip(monkeypatch, musicnn_wheel())
    file = install.install_weights(package)
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    for read in (lambda: get_evaluator("musicnn_msd"), lambda: install.install_weights(package)):
        with pytest.raises(UserError, match=r"not the weights of musicnn 0\.1\.0; delete it and run"):
            read()
    file.write_bytes(b"cut off")
    with pytest.raises(UserError, match=r"weights.safetensors: .*; delete it and run"):
        get_evaluator("musicnn_msd")


def test_the_list_names_role_package_licence_and_how_to_install(
    package: weights.Package, capsys: pytest.CaptureFixture[str]
) -> None:
    assert status(["evaluators", "list"]) == 0
    lines = {line.split()[0]: line for line in capsys.readouterr().out.splitlines() if line.strip()}
    assert "tagger" in lines["builtin"]
    assert "built-in attribute tagger" in lines["builtin"]
    assert all(part in lines["musicnn"] for part in ("judge", "0.1.0", "ISC", "ready", "shipped"))
    assert "bench evaluators install musicnn_msd" in lines["musicnn_msd"]
    assert "CC BY 4.0" in lines["aisfx"]
    assert "none" in lines["logmel"]


def test_what_needs_no_installation_and_what_is_misspelt(capsys: pytest.CaptureFixture[str]) -> None:
    assert status(["evaluators", "install", "logmel"]) == 0
    assert "logmel needs no installation" in capsys.readouterr().out
    assert status(["evaluators", "install", "aisfxx"]) == 2
    assert "did you mean 'aisfx'?" in capsys.readouterr().err
