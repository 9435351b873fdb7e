"""Number formats: ``fp32``, ``tf32`` (fp32 whose matrix products round their factors to 10 bits) and ``bf16``.

torch's defaults for fp32 differ between matrix products (full precision) and convolutions (TF32), so both are set.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Literal

Precision = Literal["fp32", "tf32", "bf16"]


@contextlib.contextmanager
def float32_products(precision: str, device: str) -> Iterator[None]:
    """Context in which a GPU multiplies fp32 numbers in TF32 if ``precision`` is ``tf32``, else in full fp32.

    Args:
        device: type of the device; nothing is set unless it is ``cuda``.
    """
    if device != "cuda":
        yield
        return
    import torch

    before = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    torch.set_float32_matmul_precision("high" if precision == "tf32" else "highest")
    torch.backends.cudnn.allow_tf32 = precision == "tf32"
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before[0])
        torch.backends.cudnn.allow_tf32 = before[1]
