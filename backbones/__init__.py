"""The shared transformer that every paradigm wraps: ``transformer``, its options and sizes in ``config``, its KV cache
in ``cache``, what it costs in ``cost``.
"""

from .config import PRESETS, BackboneConfig, preset

__all__ = ["PRESETS", "BackboneConfig", "preset"]
