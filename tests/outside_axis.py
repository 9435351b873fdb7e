"""A small axis in one module, as an installed package would add it: settings, cells, measurement and chapter."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from paradigm_bench.benchmarks.analysis.result_table import make_table
from paradigm_bench.benchmarks.metrics.metric import metric
from paradigm_bench.benchmarks.report.chapter import Answer, Chapter, StudyPage, StudyRecords
from paradigm_bench.benchmarks.report.markup import Table
from paradigm_bench.benchmarks.study.axis import Context, Measurement, TrainingAxis, TrainingPoint
from paradigm_bench.benchmarks.study.cells import Cell
from paradigm_bench.benchmarks.study.study import AxisSettings, Study


@dataclass(frozen=True)
class LoudnessSettings(AxisSettings):
    """How loud clips are made."""

    key: ClassVar[str] = "loudness"

    gain: float = 1.0


class Loudness(TrainingAxis):
    """How loud the clips of each arm are; nothing is really trained."""

    settings = LoudnessSettings
    chapter = "outside_axis:CHAPTER"

    def expand(self, study: Study) -> list[Cell]:
        gain = study.section(LoudnessSettings).gain
        cells = []
        for arm, seed in ((arm, seed) for arm in study.arms for seed in study.seeds):
            config = {"axis": study.axis, "arm": arm.name, "gain": gain, "seed": seed}
            cells.append(Cell(study.axis, arm.name, "paradigm", seed, None, arm.name, config))
        return cells

    def open(self, cells: Sequence[Cell], context: Context) -> Loudness:
        return self

    def measure(self, cell: Cell) -> Measurement:
        return Measurement(metrics={"loudness": metric(10 * cell.config["gain"], n=1, unit="dB", better="higher")})

    def training_points(self, study: Study) -> list[TrainingPoint]:
        return [TrainingPoint(study)]


def describe(study: StudyRecords) -> StudyPage:
    """The chapter's page; a table holds one setting, and a cell that failed is a row with its reason."""
    table = make_table(study.name, study.folder, study.records)
    body = []
    for row in table.rows:
        values = [f"{record.metrics['loudness'].value:g} dB" for record in row.good]
        body.append([row.system, ", ".join(values) or f"{row.records[0].status}: {row.records[0].reason}"])
    answers = [Answer("Which is loudest?", "all")] if table.runs else []
    return StudyPage("How loud it is.", Table(["arm", "loudness"], body), answers, left_out=table.left_out)


CHAPTER = Chapter("Loudness", "How loud are the clips?", describe)
