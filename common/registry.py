"""Lazy registries, name -> object, open to out-of-tree plugins.

A registry maps short names to ``"module:attribute"`` strings and imports a module only when it is needed, so that names
are listed without importing anything. Objects that are not in it can be given as ``package.module:attribute``, or
registered by an installed package under the registry's entry-point group.
"""

from __future__ import annotations

import functools
import importlib
from importlib.metadata import entry_points
from typing import Any

from .errors import UserError, did_you_mean


class Registry:
    """Named things of one kind.

    Args:
        kind: what the things are, in the singular; names them in errors and in the entry-point group
            ``paradigm_bench.<kind>``.
        entries: short name -> ``"module:attribute"``.
    """

    def __init__(self, kind: str, entries: dict[str, str]) -> None:
        self.kind = kind
        self._entries = dict(entries)

    def names(self) -> list[str]:
        """All short names, the built-in ones first, then installed plugins."""
        return list(self._targets())

    def target(self, name: str) -> str | None:
        """The ``"module:attribute"`` of a short name; None for a name that is not registered."""
        return self._targets().get(name)

    def load(self, name: str) -> Any:
        """Import and return the object called ``name`` (or at ``package.module:attribute``).

        Raises:
            UserError: the name is unknown, or its module or attribute cannot be imported.
        """
        targets = self._targets()
        target = targets.get(name, name if ":" in name else None)
        if target is None:
            hint = did_you_mean(name, list(targets))
            known = ", ".join(targets)
            raise UserError(f"unknown {self.kind} {name!r}{hint}; known: {known}; or give package.module:Name")
        module_name, _, attribute = target.partition(":")
        try:
            return getattr(importlib.import_module(module_name), attribute)
        except ModuleNotFoundError as error:
            mend = "install its package (pip install -e FOLDER) or put its folder on PYTHONPATH"
            raise UserError(f"cannot load {self.kind} {name!r} from {target!r}: {error}; {mend}") from error
        except Exception as error:  # the module may be a user's own code, which may fail in any way
            told = f"{type(error).__name__}: {error}"
            raise UserError(f"cannot load {self.kind} {name!r} from {target!r}: {told}; correct that module") from error

    def _targets(self) -> dict[str, str]:
        plugins = _plugins(f"paradigm_bench.{self.kind}")
        return {**self._entries, **{name: value for name, value in plugins.items() if name not in self._entries}}


@functools.cache
def _plugins(group: str) -> dict[str, str]:
    """Name -> target of what installed packages register; cached, since all packages must be searched."""
    return {entry.name: entry.value for entry in entry_points(group=group)}
