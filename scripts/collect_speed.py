"""How long collecting takes: copies of the repository's own records with seeds of their own, then ``bench collect``.

    python scripts/collect_speed.py --records 100000 --processes 2

The copies have true ids and are spread over ten studies; 1 in 1000 is cut short and 1 in 1000 edited, all of which
have to be found. Printed: the machine, seconds by the clock and of the processors for reading and checking, and for
writing Parquet and CSV.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import resource
import tempfile
import time
from pathlib import Path

from checkout import ROOT, use_checkout

use_checkout()

from paradigm_bench.benchmarks.analysis.collect import collect
from paradigm_bench.benchmarks.analysis.records import all_records
from paradigm_bench.benchmarks.cli.collect import counts_text, write_table
from paradigm_bench.common.config import config_hash, to_dict
from paradigm_bench.common.environment import cpu_model

STUDIES = 10
EVERY = 1000  # of so many records one is cut short, and one edited


def write_records(folder: Path, n: int) -> int:
    """Write ``n`` records; returns how many of them are spoilt."""
    originals = [to_dict(record) for record in all_records(ROOT / "results")]
    trained = [record for record in originals if record["training"] is not None]
    spoilt = 0
    for i, record in zip(range(n), itertools.cycle(trained)):
        cell = {**record["cell"], "seed": i}
        study, named = f"study{i % STUDIES}", {"id": config_hash(cell), "cell": cell, "seed": i, "attempt": 1}
        made = {**record, **named, "study": study, "artefacts": {}}
        text = json.dumps(made, indent=1, ensure_ascii=False)
        if i % EVERY == 0:
            text, spoilt = text[: len(text) // 2], spoilt + 1
        elif i % EVERY == 1:
            text, spoilt = text.replace(f'"seed": {i}', '"seed": -1'), spoilt + 1
        path = folder / study / "records" / f"{made['id']}-1.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return spoilt


def main() -> None:
    """Measure, and print what came out."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=100_000)
    parser.add_argument("--processes", type=int, default=2)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        spoilt = write_records(folder, chosen.records)
        size = sum(path.stat().st_size for path in folder.glob("*/records/*"))
        clock, cpu = time.perf_counter(), processor_seconds()
        found = collect(folder, processes=chosen.processes)
        print(counts_text(found.counts))
        read = time.perf_counter() - clock
        files = write_table(found.table, folder / "collected")
        total, used = time.perf_counter() - clock, processor_seconds() - cpu
        sizes = ", ".join(f"{path.suffix[1:]} {path.stat().st_size / 1e6:.0f} MB" for path in files)
    assert len(found.problems) == spoilt, f"{len(found.problems)} files left out, {spoilt} were spoilt"
    print(f"{cpu_model()}, {os.cpu_count()} cores, load before this {os.getloadavg()[2]:.1f}")
    print(f"{found.records} records of {size / chosen.records / 1000:.1f} kB, {spoilt} spoilt files found, all of them")
    print(f"read, checked, merged, summarised in {read:.1f} s, written after {total:.1f} s ({used:.1f} s of processor)")
    print(f"{found.table.num_rows} rows, {sizes}")


def processor_seconds() -> float:
    """User and system time of this process and of those it waited for."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in used)


if __name__ == "__main__":
    main()
