"""Strict YAML: repeated keys are errors, and ``1e-3`` is a number."""

from __future__ import annotations

import re
from typing import Any

import yaml

from .errors import UserError


def parse_yaml(text: str, where: str) -> Any:
    """The content of a YAML document; repeated keys are errors.

    Args:
        where: name of the document in errors.

    Raises:
        UserError: the text is not valid YAML.
    """
    try:
        return yaml.load(text, Loader=_StrictLoader)
    except yaml.YAMLError as error:
        line = f"line {error.problem_mark.line + 1}: " if getattr(error, "problem_mark", None) else ""
        raise UserError(f"{where}: not valid YAML: {line}{getattr(error, 'problem', None) or error}") from error


class _StrictLoader(yaml.SafeLoader):  # type: ignore[misc]
    """YAML's safe loader that refuses repeated keys and reads ``1e-3`` as the number it is in YAML 1.2."""


def _mapping(loader: _StrictLoader, node: yaml.MappingNode) -> dict[Any, Any]:
    keys = [loader.construct_object(key) for key, _ in node.value]
    repeated = [key for key in keys if keys.count(key) > 1]
    if repeated:
        raise yaml.constructor.ConstructorError(None, None, f"the key {repeated[0]!r} is given twice", node.start_mark)
    return dict(loader.construct_pairs(node, deep=True))


_StrictLoader.add_constructor("tag:yaml.org,2002:map", _mapping)
_StrictLoader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?(\d+\.\d*|\.\d+|\d+)[eE][-+]?\d+$"), list("-+.0123456789")
)
