"""maskgit keeps what the referee asks of a paradigm; `bench check maskgit` says the same in a table."""

import pytest
from maskgit import MaskGIT

from paradigm_bench.benchmarks.conformance import CHECKS, CheckSkipped, ConformanceCase

CASE = ConformanceCase(MaskGIT)


@pytest.mark.parametrize("check", list(CHECKS))
def test_conformance(check: str) -> None:
    try:
        CHECKS[check](CASE)
    except CheckSkipped as skipped:
        pytest.skip(str(skipped))
