"""Records and studies for tests of the folder that holds them."""

from __future__ import annotations

from pathlib import Path

from paradigm_bench.benchmarks.analysis.packing import pack
from paradigm_bench.benchmarks.analysis.packs import studies_in
from paradigm_bench.benchmarks.analysis.records import Record, artefact, load_records, read_items, save_record
from paradigm_bench.benchmarks.metrics.metric import metric
from paradigm_bench.common.config import config_hash
from paradigm_bench.common.files import json_text, write_text

FIGURES = {"fad": metric(1.5, low=0.1 + 0.2, high=2.0, n=4, better="lower"), "kl": metric(None, n=4, unit="nats")}
ROWS = [{"item": "p0", "caption": 'a "b", ü \u2028 c', "kl": 0.25}, {"item": "p1", "kl": float("nan")}]


def a_record(seed: int = 0, **changes: object) -> Record:
    """A record of a fake axis."""
    cell = {"axis": "fake", "seed": seed}
    fields = {
        "id": config_hash(cell), "study": "s", "axis": "fake", "system": "ar", "kind": "paradigm", "seed": seed,
        "status": "ok", "cell": cell, "created": f"2026-01-0{seed + 1}T00:00:00+00:00",
    }  # fmt: skip
    return Record(**{**fields, **changes})  # type: ignore[arg-type]


def a_study(folder: Path, seeds: int = 3) -> list[Record]:
    """Records of all kinds: with scores and artefacts, with a failed attempt before, without scores."""
    saved = [save_record(folder, a_record(status="failed", artefacts={"traceback": "logs/a.txt"}))]
    write_text(folder / "logs" / "a.txt", 'Traceback:\n\tValueError: "x"\r\n\x1b[0m')
    for seed in range(seeds):
        names = {"chords": f"chords/{seed}.json", "audio/p0": f"audio/{seed}.flac", "entropy": f"entropy/{seed}.csv"}
        write_text(folder / names["chords"], json_text({"p0": {"heard": [[0.0, 1.5, "C:maj"]]}}))
        write_text(folder / names["entropy"], "step,whole\n1,2.5\n")
        (folder / "audio").mkdir(exist_ok=True)
        (folder / names["audio/p0"]).write_bytes(b"fLaC\x00\xff")
        saved.append(save_record(folder, a_record(seed, metrics=FIGURES, artefacts=names), ROWS))
    return [*saved, save_record(folder, a_record(seeds + 1, status="oom"))]


def files_in(folder: Path) -> dict[str, bytes]:
    """Name of every file below ``folder`` -> its content."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def told(folder: Path) -> object:
    """All that readers see of one study."""
    records, problems = load_records(folder)
    scores = [str(read_items(folder, record)) for record in records]
    beside = [artefact(folder, record, name) for record in records for name in ("chords", "entropy", "traceback")]
    return records, problems, scores, beside, studies_in(folder.parent)


def spread(folder: Path) -> int:
    """Pack one more record for each of three calls; returns how many records there are."""
    for seed in range(3):
        save_record(folder, a_record(seed, metrics=FIGURES), ROWS)
        pack(folder)
    return 3


def study(folder: Path, does: str = "work") -> list[str]:
    """Arguments of ``bench run`` for a study named ``s``."""
    (folder / "s.yaml").write_text(
        f"title: T\naxis: 'fake_axis:FakeAxis'\narms: [{{paradigm: a, options: {{does: {does}}}}}]\n"
    )
    return [str(folder / "s.yaml"), "--work", str(folder / "work")]
