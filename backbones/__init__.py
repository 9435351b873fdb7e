"""The shared transformer that every paradigm wraps: one architecture, its options, its sizes, its KV cache."""

from backbones.cache import KVCache, TextMemory
from backbones.config import PRESETS, BackboneConfig, preset
from backbones.transformer import Backbone

__all__ = ["PRESETS", "Backbone", "BackboneConfig", "KVCache", "TextMemory", "preset"]
