"""Our figures against those of other people's packages on the same input."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from paradigm_bench.benchmarks.metrics.frechet import frechet_distance
from paradigm_bench.common.files import read_json
from tests.golden import inputs

GOLDEN = Path(__file__).parents[3] / "golden"


@pytest.mark.parametrize("case", read_json(GOLDEN / "frechet_fadtk.json")["cases"], ids=lambda case: case["name"])
def test_frechet_equals_fadtk(case: dict[str, Any]) -> None:
    distance = frechet_distance(*inputs.frechet_arrays(case))
    assert distance.value == pytest.approx(case["value"], rel=1e-6)
