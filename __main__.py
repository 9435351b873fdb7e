"""``python -m paradigm_bench``: the command ``bench``."""

import sys

from .benchmarks.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
