"""YAML without surprises: repeated keys are errors, and ``1e-3`` is a number."""

from __future__ import annotations

import re
from typing import Any

from .errors import UserError


def parse_yaml(text: str, where: str) -> Any:
    """Strict YAML: repeated keys are errors.

    Raises:
        UserError: not YAML; ``where`` is how it calls the text.
    """
    import yaml

    try:
        return yaml.load(text, Loader=_strict_loader())
    except yaml.YAMLError as error:
        line = f"line {error.problem_mark.line + 1}: " if getattr(error, "problem_mark", None) else ""
        raise UserError(f"{where}: not valid YAML: {line}{getattr(error, 'problem', None) or error}") from error


def _strict_loader() -> type:
    """YAML's safe loader that refuses repeated keys and reads ``1e-3`` as the number it is in YAML 1.2."""
    import yaml

    class Loader(yaml.SafeLoader):
        pass

    def mapping(loader: Any, node: Any) -> dict[Any, Any]:
        keys = [loader.construct_object(key) for key, _ in node.value]
        repeated = [key for key in keys if keys.count(key) > 1]
        if repeated:
            raise yaml.constructor.ConstructorError(
                None, None, f"the key {repeated[0]!r} is given twice", node.start_mark
            )
        return dict(loader.construct_pairs(node, deep=True))

    Loader.add_constructor("tag:yaml.org,2002:map", mapping)
    number = re.compile(r"[-+]?(\d+\.\d*|\.\d+|\d+)[eE][-+]?\d+")
    Loader.add_implicit_resolver("tag:yaml.org,2002:float", number, list("-+.0123456789"))
    return Loader
