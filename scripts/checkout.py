"""Makes the package of this checkout importable for scripts, whether or not the checkout is installed.

The repository's root is the package, so its folder must be found under the package's name: a link does that.
"""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def use_checkout() -> None:
    """Import ``paradigm_bench`` from this checkout, in this process and in those that it starts."""
    link = ROOT / "build" / "package" / "paradigm_bench"
    link.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(FileExistsError):
        link.symlink_to(Path("..", ".."), target_is_directory=True)
    sys.path.insert(0, str(link.parent))
    paths = [str(link.parent), *filter(None, [os.environ.get("PYTHONPATH")])]
    os.environ["PYTHONPATH"] = os.pathsep.join(dict.fromkeys(paths))
