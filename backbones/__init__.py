"""The shared transformer that every paradigm wraps.

``transformer`` and ``attention`` are the model, ``config`` its options and sizes, ``positions`` its position and time
codes, ``cache`` the KV cache of sampling, ``linear`` the linear layers, ``cost`` its operations and bytes.
"""

from .config import PRESETS, BackboneConfig, preset

__all__ = ["PRESETS", "BackboneConfig", "preset"]
