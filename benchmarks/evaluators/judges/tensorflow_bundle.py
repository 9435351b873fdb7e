"""Reader of TensorFlow checkpoints without TensorFlow.

A checkpoint is a bundle of two files. ``.index`` is a sorted table in LevelDB's format whose values are
``BundleEntryProto`` messages: type, shape, offset and size of each tensor. ``.data-00000-of-00001`` holds the tensors'
bytes, little-endian. Sources: LevelDB's doc/table_format.md; TensorFlow's tensor_bundle.proto.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ....common.errors import UserError

MAGIC = 0xDB4775248B80FB57  # the last eight bytes of a table
FLOAT = 1  # tensorflow.DataType.DT_FLOAT


def read_bundle(index: bytes, data: bytes) -> dict[str, NDArray[np.float32]]:
    """The float32 tensors of a bundle by name; other tensors, such as counters of steps, are left out.

    Args:
        index: content of the ``.index`` file.
        data: content of its only data file.

    Raises:
        UserError: another format, a compressed table, or a tensor beyond the end of the data.
    """
    if len(index) < 48 or struct.unpack("<Q", index[-8:])[0] != MAGIC:
        raise UserError("not the index of a TensorFlow checkpoint; fetch the file anew")
    footer = index[-48:]
    _, at = _handle(footer, 0)  # of the metaindex block, which is empty
    (offset, size), _ = _handle(footer, at)
    tensors = {}
    for _, where in _entries(_block(index, offset, size)):
        for name, entry in _entries(_block(index, *_handle(where, 0)[0])):
            fields = dict(_fields(entry)) if name else {}  # the empty name is the bundle's header
            if fields.get(1) != FLOAT:
                continue
            shape = [dict(_fields(dim)).get(1, 0) for number, dim in _fields(fields.get(2, b"")) if number == 2]
            start, length = fields.get(4, 0), fields.get(5, 0)
            if start + length > len(data) or length != 4 * int(np.prod(shape)):
                raise UserError(f"tensor {name.decode()} lies beyond the end of the data; fetch the file anew")
            values = np.frombuffer(data, "<f4", length // 4, start)
            tensors[name.decode()] = values.reshape(shape).astype(np.float32)
    return tensors


def _block(table: bytes, offset: int, size: int) -> bytes:
    if table[offset + size] != 0:
        raise UserError("the index of the checkpoint is compressed, which this reader does not know")
    return table[offset : offset + size]


def _entries(block: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Keys and values of a block; each key gives only what differs from the key before it."""
    end = len(block) - 4 - 4 * struct.unpack("<I", block[-4:])[0]  # the restart points and their number come last
    at, key = 0, b""
    while at < end:
        shared, at = _varint(block, at)
        new, at = _varint(block, at)
        length, at = _varint(block, at)
        key = key[:shared] + block[at : at + new]
        yield key, block[at + new : at + new + length]
        at += new + length


def _handle(block: bytes, at: int) -> tuple[tuple[int, int], int]:
    """Offset and size of a block, and the position after them."""
    offset, at = _varint(block, at)
    size, at = _varint(block, at)
    return (offset, size), at


def _fields(message: bytes) -> Iterator[tuple[int, Any]]:
    """Number and value of each field of a protobuf message: an integer, or the bytes of a nested message."""
    at = 0
    while at < len(message):
        tag, at = _varint(message, at)
        kind = tag & 7
        if kind == 0:
            value, at = _varint(message, at)
            yield tag >> 3, value
        elif kind == 2:
            length, at = _varint(message, at)
            yield tag >> 3, message[at : at + length]
            at += length
        else:
            at += {1: 8, 5: 4}[kind]  # a check sum


def _varint(block: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while block[at] & 128:
        value |= (block[at] & 127) << shift
        at, shift = at + 1, shift + 7
    return value | block[at] << shift, at + 1
