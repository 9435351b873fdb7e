"""Strict dataclass configs: from plain mappings (YAML, JSON) with clear errors, and back to plain data.

A config's hash covers every field, defaults included, so that editing a default changes the identity. (If only the
values that differ from the defaults were hashed, two configs with different defaults could have the same hash.) The
exception are fields that were added ``later`` than the first records, whose default means what was done before they
existed. They are left out at their default, so that old records keep their identity; that default must never change.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import types
import typing
from collections.abc import Mapping
from typing import Any, TypeVar

from .errors import UserError, did_you_mean

T = TypeVar("T")


def from_dict(cls: type[T], data: Mapping[str, Any], where: str) -> T:
    """Build dataclass ``cls`` from ``data``; nested dataclasses, tuples and optionals are converted.

    Args:
        where: name of the mapping in errors, e.g. ``"quickstart.yaml: train"``.

    Raises:
        UserError: an unknown or missing key, or a value of the wrong type.
    """
    fields = {f.name: f for f in dataclasses.fields(cls)}  # type: ignore[arg-type]
    hints = typing.get_type_hints(cls)
    for key in data:
        if key not in fields:
            hint = did_you_mean(str(key), list(fields))
            raise UserError(f"{where}: unknown key {key!r}{hint}; known: {', '.join(fields)}")
    missing = [name for name, f in fields.items() if name not in data and _required(f)]
    if missing:
        raise UserError(f"{where}: missing key {missing[0]!r}")
    return cls(**{key: _convert(hints[key], value, f"{where}.{key}") for key, value in data.items()})


def later(default: Any) -> Any:
    """A dataclass field that was added after records were made; see the module's docstring."""
    return dataclasses.field(default=default, metadata={"later": True})


def to_dict(config: Any) -> dict[str, Any]:
    """The config as plain JSON-ready data, defaults included."""
    return typing.cast(dict[str, Any], json.loads(json.dumps(_plain(config))))


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        held = {f: getattr(value, f.name) for f in dataclasses.fields(value)}
        return {f.name: _plain(v) for f, v in held.items() if not (f.metadata.get("later") and v == f.default)}
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, (list, tuple)) else value


def config_hash(data: Any, length: int = 12) -> str:
    """The first ``length`` hex digits of SHA-256 of a config (dataclass or plain data) as canonical JSON."""
    plain = to_dict(data) if dataclasses.is_dataclass(data) and not isinstance(data, type) else data
    canonical = json.dumps(plain, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(canonical.encode()).hexdigest()[:length]


def flat(tree: Any, prefix: str = "") -> dict[str, Any]:
    """Nested mappings as one, keys joined by dots: ``{"a": {"b": 1}}`` becomes ``{"a.b": 1}``; lists are values."""
    if not isinstance(tree, Mapping):
        return {prefix: tree}
    return {k: v for key, sub in tree.items() for k, v in flat(sub, f"{prefix}.{key}" if prefix else str(key)).items()}


def _required(field: dataclasses.Field[Any]) -> bool:
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


def _convert(hint: Any, value: Any, where: str) -> Any:
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any:
        return value
    if origin in (typing.Union, types.UnionType):
        if value is None and type(None) in args:
            return None
        return _convert(next(a for a in args if a is not type(None)), value, where)
    if origin is typing.Literal:
        return _literal(args, value, where)
    if dataclasses.is_dataclass(hint):
        if isinstance(value, hint):  # type: ignore[arg-type]
            return value
        if not isinstance(value, Mapping):
            raise UserError(f"{where}: expected a mapping, got {value!r}")
        return from_dict(hint, value, where)  # type: ignore[arg-type]
    if origin in (tuple, list):
        if isinstance(value, str) or not isinstance(value, (list, tuple)):
            raise UserError(f"{where}: expected a list, got {value!r}")
        return origin(_convert(args[0], item, f"{where}[{i}]") for i, item in enumerate(value))
    if origin is dict:
        if not isinstance(value, Mapping):
            raise UserError(f"{where}: expected a mapping, got {value!r}")
        return {str(k): _convert(args[1], v, f"{where}.{k}") for k, v in value.items()}
    return _scalar(hint, value, where)


def _literal(choices: tuple[Any, ...], value: Any, where: str) -> Any:
    if value not in choices:
        known = [str(c) for c in choices]
        raise UserError(f"{where}: {value!r} is not one of {', '.join(known)}{did_you_mean(str(value), known)}")
    return value


def _scalar(hint: Any, value: Any, where: str) -> Any:
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if (hint is int and isinstance(value, bool)) or not isinstance(value, hint):
        raise UserError(f"{where}: expected {hint.__name__}, got {value!r}")
    return value
