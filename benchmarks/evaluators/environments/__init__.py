"""Evaluators in environments of their own.

``environment.py`` installs and runs a script of ``scripts/``, ``evaluator.py`` makes an ``Evaluator`` of it, and
``musicgen.py`` imports checkpoints of audiocraft. A new evaluator is a new script.
"""

from .environment import Environment, ScriptReply, environments, get_environment, install, installed, run

__all__ = ["Environment", "ScriptReply", "environments", "get_environment", "install", "installed", "run"]
