"""torch.compile for training: the blocks of backbone and head, which hold nearly all of the work.

Blocks are compiled one by one, with sizes left open: all blocks of a model share one compiled function, and updates
that mask or drop other numbers of tokens do not compile again.
"""

from __future__ import annotations

from torch import nn

from ..backbones.transformer import Block
from ..paradigms.heads import ResidualBlock


def compile_blocks(model: nn.Module) -> None:
    """Compile each block of ``model`` in place; compiling happens at the first call."""
    for module in model.modules():
        if isinstance(module, Block | ResidualBlock):
            module.compile(dynamic=True)
