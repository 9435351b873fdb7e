"""scripts/gpu.py without a GPU: every part at toy size, limits, exit statuses, and which packages it needs."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import signal
import subprocess
import sys
import tarfile
import textwrap
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import packages_distributions, requires
from pathlib import Path

import pytest
import torch

from paradigm_bench import paradigms
from paradigm_bench.backbones import cache
from paradigm_bench.backbones.cache import TextMemory
from paradigm_bench.benchmarks.analysis.records import load_records
from paradigm_bench.benchmarks.study.load import load_study
from paradigm_bench.paradigms.ar import ARSampler, draw
from paradigm_bench.paradigms.session import Session, simulated_captures

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "scripts" / "gpu.py"
sys.path.insert(0, str(ROOT / "scripts"))

from gpu import archive, check, failing, learning, plan, process, prompts, sampling, speed, toys, train, wheels  # noqa: E402
from gpu.journal import AGAIN, Journal, read  # noqa: E402

# What is installed on the machine with the GPU; what these need comes with them.
INSTALLED = (
    "torch", "triton", "transformers", "accelerate", "torchdiffeq", "einops", "numpy", "scipy", "pandas", "pyarrow",
    "matplotlib", "markdown-it-py", "typer", "rich", "pyyaml", "safetensors", "psutil", "nvidia-ml-py", "numba",
    "scikit-learn", "tqdm",
)  # fmt: skip
BLOCKER = """
import importlib.machinery as machinery, sys

class Finder(machinery.PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return None if name.partition(".")[0] in {blocked!r} else super().find_spec(name, path, target)

sys.meta_path[sys.meta_path.index(machinery.PathFinder)] = Finder
"""


def with_needs(names: set[str]) -> set[str]:
    """Names of packages, and of all that they need."""
    found: set[str] = set()
    waiting = [plainly(name) for name in names]
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        found.add(name)
        try:
            needed = requires(name) or []
        except ImportError:  # not installed here, such as triton
            continue
        waiting += [plainly(re.split(r"[^\w.-]", line)[0]) for line in needed if "extra ==" not in line]
    return found


def plainly(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def environment(folder: Path, allowed: set[str]) -> dict[str, str]:
    """Variables of a process that can import only packages of ``allowed``; its child processes inherit them."""
    allowed = with_needs(allowed) | {"paradigm-bench"}
    blocked = {module for module, names in packages_distributions().items() if not {*map(plainly, names)} & allowed}
    assert {"librosa", "soundfile", "pytest"} <= blocked
    (folder / "sitecustomize.py").write_text(BLOCKER.format(blocked=blocked))
    cache = {"PARADIGM_BENCH_CACHE": str(folder / "cache")}
    return {**os.environ, **cache, "PYTHONPATH": str(folder), "CUDA_VISIBLE_DEVICES": ""}


@dataclass(frozen=True)
class Trial:
    results: Path
    output: str
    status: int


@pytest.fixture(scope="module")
def trial(tmp_path_factory: pytest.TempPathFactory) -> Trial:
    """All three parts at toy size, without any package that the machine with the GPU would lack."""
    folder = tmp_path_factory.mktemp("gpu")
    variables = environment(folder, {*INSTALLED, *wheels.PACKAGES})
    where = ["--results", str(folder / "results"), "--work", str(folder / "work")]
    done = subprocess.run([sys.executable, str(SCRIPT), "all", "--dry", *where], env=variables, **TEXT)
    return Trial(folder / "results", done.stdout, done.returncode)


TEXT = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True, "timeout": 900}


def test_every_part_runs_without_a_gpu_and_without_packages_that_are_not_there(trial: Trial) -> None:
    assert trial.status == 0, trial.output
    parts = {part: read(trial.results / f"{part}.json") for part in ("check", "speed", "train")}
    assert all(found["finished"] and all(line["ok"] for line in found["lines"]) for found in parts.values())
    assert {path.name for path in trial.results.iterdir()} == {*(f"{part}.json" for part in parts), "results.tar.gz"}


def test_check_compares_every_paradigm_in_every_group(trial: Trial) -> None:
    lines = read(trial.results / "check.json")["lines"]
    for name in paradigms.names():
        groups = {line["group"] for line in lines if line["name"].startswith((f"{name} ", f"{name}:"))}
        inpaints = {"inpainting"} if paradigms.find(name).inpaints else set()
        assert groups == {"sampling", "controls", "batches", "training"} | inpaints
    assert all(re.search(rf"^ok +{re.escape(line['name'])} ", trial.output, re.MULTILINE) for line in lines)
    assert [line["name"] for line in lines if line["group"] == "failure"] == [lines[-1]["name"]]
    for text in ("cross", "prefix"):
        for dtype in ("fp32", "bf16"):
            assert sum(line["name"].startswith(f"ar {text} {dtype}: ") for line in lines) == 3


def test_speed_measures_in_order_and_tells_of_the_crossover(trial: Trial) -> None:
    found = read(trial.results / "speed.json")
    named = [speed.title(key) for key in speed.DRY_ORDER]
    assert [line["name"] for line in found["lines"]] == [one["cell"] for one in found["plan"]] == named
    assert all(line["planned_s"] > 0 < line["taken_s"] for line in found["lines"])
    assert found["left_out"] == []
    assert found["crossover"][0].startswith("ar against fm-50: measured, ")
    assert found["crossover"][0] in trial.output


def test_train_trains_and_scores_every_arm(trial: Trial) -> None:
    lines = {line["name"]: line for line in read(trial.results / "train.json")["lines"]}
    arms = [arm.name for arm in load_study("gpu_small").arms]
    assert [*lines] == ["corpus", *arms, "references"]
    for name in arms:
        assert lines[name]["updates"] > 0
        assert {*train.METRICS} <= lines[name].keys()


def test_the_archive_holds_records_scores_logs_and_audio(trial: Trial, tmp_path: Path) -> None:
    with tarfile.open(trial.results / "results.tar.gz") as packed:
        packed.extractall(tmp_path, filter="data")
    for study, count in (("gpu_speed", 6), ("gpu_small", 6)):
        records, problems = load_records(tmp_path / "results" / study)
        assert len(records) == count
        assert problems == []
        for record in records:
            assert record.status == "ok"
            assert record.command.startswith(f"bench run {study}")
            assert all((tmp_path / "results" / study / path).is_file() for path in record.artefacts.values())
    logs = {path.parent.name for path in (tmp_path / "logs").rglob("*") if path.is_file()}
    assert logs == {"logs", "workers", "training"}
    assert json.loads((tmp_path / "check.json").read_text()) == read(trial.results / "check.json")


@pytest.mark.parametrize("missing", wheels.PACKAGES)
def test_every_wheel_is_needed(missing: str, tmp_path: Path) -> None:
    variables = environment(tmp_path, {*INSTALLED, *wheels.PACKAGES} - {missing})
    program = (
        "import sys; sys.path.insert(0, 'scripts'); from checkout import use_checkout; use_checkout()\n"
        "import numpy, paradigm_bench.benchmarks.run.runner\n"
        "from paradigm_bench.benchmarks.metrics.loudness import loudness_lufs; loudness_lufs(numpy.ones(16000), 16000)"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, env=variables, **TEXT)
    assert f"No module named '{missing}'" in done.stdout


def test_wheels_are_named_with_the_versions_of_the_tests(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, str(SCRIPT), "wheels", str(tmp_path / "w"), "--dry"], **TEXT)
    assert done.returncode == 0
    for name in wheels.PACKAGES:
        assert f"{name}=={wheels.versions()[name]}" in done.stdout
    assert "--no-index" in done.stdout
    assert not re.search(r"https?:|--index-url|--find-links", (ROOT / "scripts/gpu/wheels.py").read_text())


@pytest.mark.parametrize("part", ["check", "speed", "train", "all"])
def test_without_a_gpu_there_is_one_line(part: str, tmp_path: Path) -> None:
    earlier = {f"{name}.json": f'{{"part": "{name}"}}' for name in ("check", "speed", "train")}
    for name, text in earlier.items():
        (tmp_path / name).write_text(text)
    status, told = started(part, "--results", str(tmp_path), "--work", str(tmp_path / "work"))
    assert status == 2
    assert len(told.splitlines()) == 1
    assert told.startswith("no GPU: ")
    assert {path.name: path.read_text() for path in tmp_path.iterdir() if path.is_file()} == earlier


def started(*words: str) -> tuple[int, str]:
    """Run the script where there is no GPU; returns its exit status and what it printed."""
    variables = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run([sys.executable, str(SCRIPT), *words], env=variables, **TEXT)
    return done.returncode, done.stdout


@pytest.mark.parametrize(
    ("words", "named"),
    [
        *((f"check --dry --limit {number}", number) for number in ("0", "-3", "nan", "inf", "soon")),
        ("check --dry {folder}/some", "check takes no folder {folder}/some; use --results {folder}/some"),
        ("all --dry --results {folder}/file", "--results: cannot write to the folder {folder}/file (File exists)"),
        ("all --dry --work {folder}/file", "--work: cannot write to the folder {folder}/file/dry (Not a directory)"),
        ("all --dry --work {folder}/w --results /proc/gpu", "--results: cannot write to the folder /proc/gpu ("),
        ("check --dry --work {folder}/w --results {folder}/bad", "{folder}/bad/check.json as JSON"),
        ("wheels {folder}/file", "wheels: {folder}/file is a file"),
        ("czech", "invalid choice: 'czech'"),
    ],
)
def test_wrong_arguments_give_one_line(words: str, named: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "check.json").write_text("{")
    status, told = started(*words.format(folder=tmp_path).split())
    assert status == 2
    assert len(told.splitlines()) == 1, told
    assert told.startswith("gpu.py: ")
    assert named.format(folder=tmp_path) in told
    assert (tmp_path / "file").read_text() == "mine"
    assert (tmp_path / "bad" / "check.json").read_text() == "{"


def test_a_dry_run_keeps_real_results(tmp_path: Path) -> None:
    (tmp_path / "check.json").write_text("{}")
    status, told = started("check", "--dry", "--work", str(tmp_path), "--limit", "0.5")
    assert status == 1
    assert f" in {tmp_path / 'dry'}" in told or "before it wrote any results" in told
    assert (tmp_path / "check.json").read_text() == "{}"
    assert {path.name for path in tmp_path.iterdir()} <= {"check.json", "dry"}


@pytest.mark.parametrize("delay", [0.15, 0.5, 3.0])
def test_ctrl_c_gives_no_traceback(delay: float, tmp_path: Path) -> None:
    command = [sys.executable, "-u", str(SCRIPT), "check", "--dry", "--results", str(tmp_path), "--work", str(tmp_path)]
    part = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
        # A shell's background job ignores SIGINT, and so would what is started from it.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )  # fmt: skip
    assert part.stdout is not None
    time.sleep(delay)
    os.killpg(part.pid, signal.SIGINT)  # a terminal sends it to the script and to its part
    told, _ = part.communicate(timeout=60)
    assert part.returncode == 130, told
    assert "interrupted" in told
    assert "Traceback" not in told


PART = """
import signal, sys, time
sys.path[:0] = [{root!r}, {scripts!r}]
from pathlib import Path
from gpu.journal import AGAIN, Journal
folder = Path(sys.argv[sys.argv.index("--results") + 1])
journal = Journal(folder / "check.json", "check", float(sys.argv[sys.argv.index("--inside") + 1]))
signal.pthread_sigmask(signal.SIG_UNBLOCK, {{signal.SIGINT}})
{body}
"""
LINE = 'journal.add("a line", group="noise", name="a line", ok=True, error=0, limit=0, note="")'


def run_instead(
    body: str, limit: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> tuple[int, str, dict]:
    """Run a part whose process does ``body``; returns its exit status, what it printed, and its JSON file."""
    script = tmp_path / "part.py"
    script.write_text(PART.format(root=str(ROOT), scripts=str(SCRIPT.parent), body=textwrap.dedent(body)))
    monkeypatch.setattr(process, "SCRIPT", script)
    status = process.run_part("check", process.RunFolders(tmp_path / "results", tmp_path / "work"), limit, dry=True)
    return status, capsys.readouterr().out, read(tmp_path / "results" / "check.json")


@pytest.mark.parametrize("obeys", [True, False])
def test_a_part_that_reaches_its_limit_keeps_its_lines(
    obeys: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(process, "PATIENCE_S", 0.5)
    deaf = "" if obeys else "signal.signal(signal.SIGINT, signal.SIG_IGN)"
    status, told, found = run_instead(
        f"{deaf}\nwhile True:\n    {LINE}\n    time.sleep(0.1)", 4.0, tmp_path, monkeypatch, capsys
    )
    assert status == 1
    assert len(found["lines"]) > 3
    assert not found["finished"]
    expected = f"check: stopped at its limit of 4 s; {len(found['lines'])} lines are kept"
    assert [line for line in told.splitlines() if "stopped" in line] == [expected]
    with tarfile.open(tmp_path / "results" / "results.tar.gz") as packed:
        assert packed.getnames() == ["check.json"]


def test_a_part_that_dies_keeps_its_lines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    status, told, found = run_instead(f"{LINE}\nsys.exit(9)", 60, tmp_path, monkeypatch, capsys)
    assert status == 1
    assert len(found["lines"]) == 1
    assert "check: ended early with exit status 9; 1 lines are kept" in told
    _, _, found = run_instead(f"{LINE}\n{LINE}\nsys.exit(9)", 60, tmp_path, monkeypatch, capsys)
    assert len(found["lines"]) == 2  # of the new run only


def test_a_part_that_dies_at_once_keeps_earlier_results(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Journal(tmp_path / "results" / "check.json", "check", 0.0).finish()
    earlier = read(tmp_path / "results" / "check.json")
    (tmp_path / "part.py").write_text("raise SystemExit(9)")
    monkeypatch.setattr(process, "SCRIPT", tmp_path / "part.py")
    status = process.run_part("check", process.RunFolders(tmp_path / "results", tmp_path / "work"), 60, dry=True)
    assert status == 1
    assert capsys.readouterr().out == "check: ended early with exit status 9, before it wrote any results\n"
    assert read(tmp_path / "results" / "check.json") == earlier


def test_a_part_goes_on_in_a_new_process_if_it_asks_for_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    body = f"again = not journal.lines\n{LINE}\nsys.exit(AGAIN if again else journal.finish())"
    status, _, found = run_instead(body, 60, tmp_path, monkeypatch, capsys)
    assert status == 0
    assert len(found["lines"]) == 2
    assert found["finished"]


def test_a_comparison_that_fails_is_a_line_and_the_rest_goes_on(tmp_path: Path) -> None:
    def broken() -> float:
        raise RuntimeError("CUDA error: an illegal memory access was encountered\nmore")

    made = [("a", lambda: 0.5, lambda: 1.0), ("b", broken, lambda: 1.0), ("c", lambda: float("nan"), lambda: 1.0)]
    found = [("noise", one) for one in [*made, ("d", lambda: 2.0, lambda: 1.0), ("e", lambda: 0.0, lambda: 0.0)]]
    journal = Journal(tmp_path / "check.json", "check", 0.0)
    log = tmp_path / "log.txt"
    assert check.compare_all(journal, found, log, lambda: journal.lines[-1]["name"] == "b") == AGAIN
    assert len(journal.lines) == 2
    journal = Journal(tmp_path / "check.json", "check", 0.0)
    assert check.compare_all(journal, found, log, check.no) == 1
    assert [line["ok"] for line in journal.lines] == [True, False, False, False, True]
    assert "illegal memory access was encountered more" in journal.lines[1]["note"]
    assert "RuntimeError" in log.read_text()
    assert check.summary(read(journal.path)).count("WRONG") == 3


@pytest.fixture
def captures() -> Iterator[None]:
    """Simulated captures, on one thread because the models are too small for more."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with simulated_captures():
        yield
    torch.set_num_threads(threads)


def test_an_exception_in_a_cell_is_a_line(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "speed.json", "speed", 0.0, left_out=[])
    with journal.guarded("ar batch 1, 10 s", tmp_path / "log.txt"):
        raise OSError("no space left")
    assert journal.finish() == 1
    assert "OSError: no space left" in speed.summary(read(journal.path))
    assert "Traceback" in (tmp_path / "log.txt").read_text()


@pytest.mark.usefixtures("captures")
@pytest.mark.parametrize("name", paradigms.names())
def test_check_notices_steps_that_read_an_old_prompt(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    case = sampling.SamplingCase(sampling.SamplingSetting(name), "cpu", toys.DRY)
    real = Session.condition
    monkeypatch.setattr(Session, "condition", lambda self, *given: None if self._conditioned else real(self, *given))
    assert case.against_plain() > 10 * case.limit()
    assert case.against_cpu() > 10 * case.limit()


@pytest.mark.usefixtures("captures")
def test_check_notices_codes_that_ignore_their_random_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("paradigm_bench.paradigms.ar.draw", lambda logits, uniforms, sampler: logits.argmax(dim=-1))
    case = sampling.SamplingCase(sampling.SamplingSetting("ar"), "cpu", toys.DRY)
    assert case.against_plain() > 10 * case.limit()


@pytest.mark.usefixtures("captures")
def test_check_notices_steps_that_cannot_be_captured(monkeypatch: pytest.MonkeyPatch) -> None:
    def capture(self: Session, step: object) -> None:
        raise RuntimeError("operation not permitted when stream is capturing")

    monkeypatch.setattr(Session, "capture", capture)
    monkeypatch.setattr("paradigm_bench.paradigms.session._Captures.failures", [])
    with pytest.raises(AssertionError, match="not permitted when stream is capturing"):
        sampling.SamplingCase(sampling.SamplingSetting("fm"), "cpu", toys.DRY).failures()


@pytest.mark.usefixtures("captures")
@pytest.mark.parametrize("name", paradigms.names())
def test_check_notices_conditions_that_are_overwritten(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def condition(self: Session, text: TextMemory, controls: None) -> None:
        if self._conditioned:
            self.text.copy_(text)
        else:
            self.text, self.controls, self._conditioned = text, controls, True  # the mask is still the caller's own

    batches = prompts.Batches(name, "cpu", toys.DRY)
    limit = sampling.LIMITS[batches.model.view, "fp32"]
    assert batches.repeated() <= limit
    monkeypatch.setattr(Session, "condition", condition)
    assert batches.repeated() > 5 * limit


@pytest.fixture
def no_failures(monkeypatch: pytest.MonkeyPatch) -> None:
    """A list of failures for this test alone: after a failure the process captures nothing any more."""
    monkeypatch.setattr("paradigm_bench.paradigms.session._Captures.failures", [])


@pytest.mark.parametrize("name", ["ar", "mntp"])
def test_later_batches_capture_nothing_with_the_cache_of_a_gpu(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its KV cache has buckets of 64 positions, of which the clips of a dry run fill only one."""
    monkeypatch.setattr(cache.KVCache, "_round", lambda self, n: -(-n // cache.GPU_BUCKET) * cache.GPU_BUCKET)
    size = dataclasses.replace(toys.FULL, width=32, layers=1, heads=1)
    assert size.frames > cache.GPU_BUCKET
    with simulated_captures():
        assert prompts.Batches(name, "cpu", size).new_captures() == 0


@pytest.mark.usefixtures("captures", "no_failures")
def test_check_notices_a_run_that_is_lost_with_its_capture(monkeypatch: pytest.MonkeyPatch) -> None:
    real = Session.run

    def run(self: Session, kind: str, step: Callable[[], None]) -> None:
        real(self, kind, (lambda: None) if kind in self._called and kind not in self._graphs else step)

    assert failing.lost_runs("cpu") == 0
    monkeypatch.setattr("paradigm_bench.paradigms.session._Captures.failures", [])
    monkeypatch.setattr(Session, "run", run)
    assert failing.lost_runs("cpu") == 1


@pytest.mark.usefixtures("captures", "no_failures")
def test_check_notices_a_failure_that_is_not_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Session, "_captured", lambda self, kind, step: step)
    with pytest.raises(AssertionError, match="one line should report the failure, not 0"):
        failing.lost_runs("cpu")


def test_only_the_code_that_was_drawn_has_distance_zero() -> None:
    torch.manual_seed(0)
    logits, uniforms, sampler = torch.randn(5, 4, 9), torch.rand(5, 4), ARSampler(top_k=0)
    codes = draw(logits, uniforms, sampler)
    assert sampling.distances(logits, codes, uniforms, sampler).max() < 1e-6
    assert (sampling.distances(logits, (codes + 1) % 9, uniforms, sampler) > 0).all()


@pytest.mark.usefixtures("captures")
def test_check_notices_training_that_forgets_the_optimiser(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("paradigm_bench.training.checkpoints.restore_optimisers", lambda *given: None)
    assert learning.resumed("fm", "cpu", toys.DRY) > 5 * learning.RESUMED


def test_estimates_follow_what_was_measured() -> None:
    study, cell, _ = speed.cells(dry=True)["ar", 1, 1]
    assert study.name == speed.STUDY
    planner = plan.Planner("cpu")
    before = planner.seconds(cell)
    planner.shares["ar"] /= 2
    assert before < planner.seconds(cell) < 2 * before
    rule = {"samples": 6, "seconds": 0.5, "cap_samples": 12, "cap_seconds": 8, "warm_ups": 1}
    assert [plan.runs(rule, run_s) for run_s in (0.01, 0.05, 0.5, 3, 20)] == [3 + 12, 3 + 10, 3 + 6, 3 + 3, 3 + 1]


def test_the_archive_leaves_out_what_has_no_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "MOST", 1000)
    audio = tmp_path / "work" / "results" / "s" / "audio"
    records = tmp_path / "work" / "results" / "s" / "records"
    for folder, name, size in ((audio, "a.wav", 900), (records, "r-1.json", 500), (records, ".r.part.json", 100)):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x" * size)
    assert archive.pack(tmp_path / "out", tmp_path / "work") == ["results/s/audio/a.wav"]
    with tarfile.open(tmp_path / "out" / "results.tar.gz") as packed:
        assert packed.getnames() == ["results/s/records/r-1.json"]
