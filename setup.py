"""Maps the repository's folders to subpackages of ``paradigm_bench``, the only name that is installed."""

from setuptools import find_packages, setup

FOLDERS = ("common", "backbones", "corpora", "representations", "paradigms", "training", "benchmarks", "slurm")
folders = find_packages(include=[pattern for folder in FOLDERS for pattern in (folder, f"{folder}.*")])
setup(
    package_dir={"paradigm_bench": "."},
    packages=["paradigm_bench", *(f"paradigm_bench.{folder}" for folder in folders)],
)
