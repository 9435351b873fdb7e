"""The command line: instant help, one-line errors with the right exit status, and listings that hold every name."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer

from paradigm_bench.benchmarks.cli.main import app, status

ROOT = Path(__file__).parents[4]
HEAVY = ("torch", "slurm", "submitit", "pandas", "numpy", "scipy", "matplotlib", "transformers")


def test_help_loads_nothing_heavy() -> None:
    script = (
        "import sys; from paradigm_bench.benchmarks.cli.main import status\n"
        "lines = ('--help', 'run --help', 'sample --help', 'submit --help', 'codec train --help')\n"
        "codes = [status(line.split()) for line in lines]\n"
        f"loaded = sorted(set(sys.modules) & set({HEAVY!r}))\n"
        "assert codes == [0] * 5, codes\n"
        "assert not loaded, loaded\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert "bench run quickstart" in done.stdout


@pytest.mark.parametrize(("own", "held"), [("", "1"), ("3", "3")])
def test_matrices_use_one_thread_unless_the_user_says_otherwise(own: str, held: str) -> None:
    """Set before numpy loads, which reads it once."""
    script = (
        "import atexit, os, sys; from paradigm_bench.benchmarks.cli.main import main\n"
        "atexit.register(lambda: print(os.environ['OPENBLAS_NUM_THREADS'], 'numpy' in sys.modules))\n"
        "main(['--version'])"
    )
    environment = {name: value for name, value in os.environ.items() if name != "OPENBLAS_NUM_THREADS"}
    environment |= {"PYTHONPATH": str(ROOT)} | ({"OPENBLAS_NUM_THREADS": own} if own else {})
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, cwd=ROOT)
    assert done.stdout.splitlines()[-1] == f"{held} False", done.stderr


def commands(command: Any = None, path: str = "") -> dict[str, Any]:
    """Every command of the program by its line, as the parser has it."""
    command = command or typer.main.get_command(app)
    inside = getattr(command, "commands", None)
    if inside is None:
        return {path: command}
    return {
        line: found for name, sub in inside.items() for line, found in commands(sub, f"{path} {name}".strip()).items()
    }


COMMANDS = commands()
# Options whose value counts, lasts or names a size: below zero it means nothing.
NEVER_NEGATIVE = {
    "--array-parallelism", "--clips", "--clips-per-shard", "--cpu-seconds", "--cpus", "--difference", "--frame-rate",
    "--gpus", "--hours", "--jobs", "--max-num-timeout", "--mem", "--mfu", "--n", "--power", "--rounds", "--sample",
    "--seconds", "--seed", "--steps", "--tempo", "--threads", "--time", "--timeout", "--tolerance", "--updates",
    "--wall-seconds",
}  # fmt: skip


def options(command: Any) -> list[Any]:
    return [parameter for parameter in command.params if parameter.param_type_name == "option"]


def kind(option: Any) -> str:
    """The name of a value's type: of one value, where the option is repeatable."""
    about = option.type_descriptor.annotation
    return next(iter(getattr(about, "__args__", ())), about).__name__


def documented() -> list[tuple[str, str]]:
    """Where and what: every command line in the documentation and in the examples of the help."""
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
    texts = [(page.name, page.read_text(encoding="utf-8")) for page in pages]
    texts += [(f"bench {line}", command.help or "") for line, command in COMMANDS.items()]
    return [
        (place, line.strip())
        for place, text in texts
        for line in text.splitlines()
        if re.match(r"\s*bench [a-z]", line) and (line.startswith(" ") or "```" in text)
    ]


def test_every_documented_command_is_one() -> None:
    """Its words name a command, and all of its options are options of that command."""
    wrong = []
    for place, line in documented():
        words = shlex.split(re.split(r" {3,}|\s#|\\$", line)[0].replace("...", ""))[1:]
        name = next((" ".join(words[:n]) for n in (2, 1) if " ".join(words[:n]) in COMMANDS), "")
        known = {opt for option in options(COMMANDS[name]) for opt in option.opts} if name else set()
        given = {word.partition("=")[0] for word in words if re.match(r"--?[a-z]", word)}
        if not name or given - known - {"-h", "--help"}:
            wrong.append(f"{place}: {line}")
    assert wrong == []


def test_every_command_has_an_example_and_one_line_that_fits() -> None:
    shown = {line: command for line, command in COMMANDS.items() if not command.hidden}
    assert [line for line, command in shown.items() if f"\n  bench {line}" not in command.help] == []
    assert [line for line, command in shown.items() if command.get_short_help_str(58).endswith("...")] == []


def test_every_option_and_argument_is_explained() -> None:
    bare = [
        f"{line} {parameter.name}"
        for line, command in COMMANDS.items()
        for parameter in command.params
        if not (parameter.help or "").strip()
    ]
    assert bare == []


def test_an_option_has_one_meaning_in_all_commands() -> None:
    """One short name has one long name, and an option is of one kind wherever it occurs."""
    long_names: dict[str, set[str]] = {}
    kinds: dict[str, set[str]] = {}
    for command in COMMANDS.values():
        for option in options(command):
            long = next(name for name in option.opts if name.startswith("--"))
            for short in (name for name in option.opts if not name.startswith("--")):
                long_names.setdefault(short, set()).add(long)
            kinds.setdefault(long, set()).add(kind(option))
    assert long_names["-o"] == {"--out"}
    assert {short: names for short, names in long_names.items() if len(names) > 1} == {}
    assert {name: found for name, found in kinds.items() if len(found) > 1} == {}
    outs = [o.opts for command in COMMANDS.values() for o in options(command) if "--out" in o.opts]
    assert outs
    assert all("-o" in names for names in outs)


def test_no_option_says_its_default_twice() -> None:
    twice = [
        f"{line} {option.opts[-1]}"
        for line, command in COMMANDS.items()
        for option in options(command)
        if "Default:" in option.help
        and option.show_default
        and not option.is_flag
        and option.default not in (None, "", (), [])
    ]
    assert twice == []


NUMBERS = [
    (line, name)
    for line, command in COMMANDS.items()
    for option in options(command)
    for name in option.opts
    if name in NEVER_NEGATIVE
]


@pytest.mark.parametrize(("line", "option"), NUMBERS)
def test_a_number_below_zero_is_refused(line: str, option: str) -> None:
    """By the parser, before the command runs; cli.status turns such an error into one line and status 2."""
    with pytest.raises(Exception, match="greater than or equal to") as error:
        COMMANDS[line].make_context(line, [f"{option}=-1"])
    message = error.value.format_message()  # type: ignore[attr-defined]
    assert option in message
    assert "\n" not in message


def test_numbers_of_all_commands_are_known() -> None:
    """A new number of a command either stands in the list above, or may be negative."""
    may_be_negative = {"--guidance", "--from", "--to", "--margin", "--tau", "--penalty"}
    numeric = {
        next(name for name in option.opts if name.startswith("--"))
        for command in COMMANDS.values()
        for option in options(command)
        if kind(option) in ("int", "float")
    }
    assert numeric - NEVER_NEGATIVE - may_be_negative == set()


TABLES = (
    "list", "models", "plan", "compare", "power", "collect", "doctor", "status", "claims", "score", "validate-metrics",
    "verify", "evaluators list", "evaluators check",
)  # fmt: skip


@pytest.mark.parametrize("line", TABLES)
def test_what_prints_a_table_prints_json(line: str) -> None:
    assert any("--json" in option.opts for option in options(COMMANDS[line]))


@pytest.mark.parametrize("line", ["list", "models --preset tiny -p fm", "doctor", "evaluators list", "plan quickstart"])
def test_json_is_all_that_is_printed(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert status([*line.split(), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)


@pytest.mark.parametrize("line", ["", "data", "codec", "evaluators"])
def test_a_group_alone_shows_its_help(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert status(line.split()) == 0
    alone = capsys.readouterr().out
    assert status([*line.split(), "--help"]) == 0
    assert alone == capsys.readouterr().out
    assert alone.startswith("Usage: bench")


def test_help_has_its_sections_in_order(capsys: pytest.CaptureFixture[str]) -> None:
    assert status(["--help"]) == 0
    titles = [line.rstrip(":") for line in capsys.readouterr().out.splitlines() if re.fullmatch(r"[A-Z]\w+:", line)]
    assert titles == ["Options", "Start", "Results", "Models", "Cluster", "Extend"]


def test_no_line_of_the_help_is_cut(capsys: pytest.CaptureFixture[str]) -> None:
    for group in ("", "data", "codec", "evaluators"):
        assert status([*group.split(), "--help"]) == 0
        assert not [line for line in capsys.readouterr().out.splitlines() if re.match(r"  [a-z].*\.\.\.$", line)]


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert status(["--version"]) == 0
    assert re.fullmatch(r"paradigm-bench \d+\.\d+\S*\n", capsys.readouterr().out)


def test_the_old_name_of_a_group_is_understood(capsys: pytest.CaptureFixture[str]) -> None:
    assert status(["evaluator", "train", "--help"]) == 0
    assert "-o, --out" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("rnu", "No such command 'rnu'. Did you mean 'run'?"),
        ("evaluatr", "Did you mean 'evaluators'?"),
        ("evaluators musicgn", "Did you mean 'musicgen'?"),
        ("run --paradgm fm", "No such option: --paradgm. Did you mean --paradigm?"),
        ("zzz", "No such command 'zzz' (see `bench -h`)"),
        ("run --zzz", "No such option: --zzz (see `bench run -h`)"),
        ("codec train", "(see `bench codec train -h`)"),
    ],
)
def test_a_wrong_word_is_told_with_the_right_one(line: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert status(line.split()) == 2
    assert message in capsys.readouterr().err


def test_shells_complete_commands_and_options() -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "_BENCH_COMPLETE": "complete_bash"}
    for words, expected in (("bench re", {"report", "resume"}), ("bench run --para", {"--paradigm"})):
        asked = {**environment, "COMP_WORDS": words, "COMP_CWORD": str(len(words.split()) - 1)}
        program = [sys.executable, "-c", "from paradigm_bench.benchmarks.cli.main import main; main()"]
        done = subprocess.run(program, env=asked, capture_output=True, text=True, cwd=ROOT)
        assert set(done.stdout.split()) == expected, done.stderr


# What each command needs beside the path that is wrong; none of it is looked at before the path.
NEEDS = {
    "codec train": "", "codec reconstruct": "x",
    "collect": "", "evaluators train": "", "evaluators musicgen": "x", "new-paradigm": "mine",
    "inpaint": "x --from 0 --to 1 --prompt x --checkpoint x", "report": "", "sample": "--prompt x --checkpoint x",
    "score": "--reference x --generated x", "tune": "--checkpoint x --reward clap_builtin", "run": "",
    "submit": "smoke", "train": "", "plan": "smoke", "compare": "a b --metric x", "claims": "", "pack": "",
    "verify": "x", "validate-metrics": "", "power": "smoke", "tune-arms": "smoke",
}  # fmt: skip
FILES = {"inpaint", "report", "sample", "score"}  # whose --out is a file
READS = {"collect", "report", "plan", "compare", "claims", "pack", "power", "score"}
WRONG_FOLDERS = [
    (line, option)
    for line, command in COMMANDS.items()
    for found in options(command)
    for option in found.opts
    if option == "--results" or (option == "--work" and line not in ("status", "cancel", "resume"))
]


@pytest.mark.parametrize("line", [line for line, c in COMMANDS.items() for o in options(c) if "--out" in o.opts])
def test_a_wrong_out_is_found_before_the_work(line: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").touch()
    wrong = [tmp_path / "file" / "x"]
    wrong += [tmp_path] if line in FILES else [tmp_path / "file"] if line != "collect" else []
    for out in wrong:
        assert status([*line.split(), *NEEDS[line].split(), "-o", str(out)]) == 2
        told = [line for line in capsys.readouterr().err.splitlines() if not line.startswith("reading ")]
        assert len(told) == 1
        assert f"--out {out}" in told[0]


@pytest.mark.parametrize(("line", "option"), WRONG_FOLDERS)
def test_a_wrong_folder_is_found_before_the_work(
    line: str, option: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    wrong = [tmp_path / "file", tmp_path / "none"] if line in READS else [tmp_path / "file", tmp_path / "file" / "x"]
    results = (
        ["--results", str(tmp_path / "good")] if option == "--work" and line in ("run", "submit", "tune-arms") else []
    )
    for folder in wrong:
        assert status([*line.split(), *NEEDS[line].split(), *results, option, str(folder)]) == 2
        stderr = capsys.readouterr().err
        assert option in stderr
        assert str(folder) in stderr
        assert stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("run quikstart", "no study 'quikstart' (did you mean 'quickstart'?)"),
        ("run --axis fidelty", "unknown axis 'fidelty' (did you mean 'fidelity'?)"),
        ("run quickstart --set train.lrr=1", "unknown key 'lrr' (did you mean 'lr'?)"),
        ("run quickstart --set train.lr", "expected KEY=VALUE"),
        ("run quickstart --updates -3", "Invalid value for '--updates'"),
        ("run quickstart --paradgm fm", "--paradigm"),
        ("rnu", "run"),
        ("list studis", "did you mean 'studies'?"),
        ("models --preset tinny", "unknown preset 'tinny' (did you mean 'tiny'?)"),
        (
            "sample --prompt x --checkpoint nowhere",
            "nowhere: no trained model in it; give a folder with a pipeline.json",
        ),
        ("tune --checkpoint nowhere --reward clap_builtin --out x", "nowhere: no trained model in it"),
        ("report nosuch --results {tmp}", "no study 'nosuch'"),
    ],
)
def test_bad_input_is_one_line_and_status_2(
    line: str, message: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert status(line.format(tmp=tmp_path).split()) == 2
    stderr = capsys.readouterr().err.strip()
    assert stderr.startswith("bench: error: ")
    assert "\n" not in stderr
    assert message in stderr


def test_interrupt_is_status_130(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("paradigm_bench.common.console.table", interrupted)
    assert status(["doctor"]) == 130
    assert "finished work is kept" in capsys.readouterr().err


def test_list_names_everything(capsys: pytest.CaptureFixture[str]) -> None:
    assert status(["list"]) == 0
    lines = dict(line.split(":", 1) for line in capsys.readouterr().out.splitlines())
    assert {"ar", "fm", "mar", "mntp", "ntp"} <= set(lines["paradigms"].replace(",", " ").split())
    assert "quickstart" in lines["studies"]
    assert "shuffled_captions" in lines["references"]


def test_models_counts_agree_with_a_built_model(capsys: pytest.CaptureFixture[str]) -> None:
    assert status(["models", "--preset", "tiny", "-p", "fm"]) == 0
    header, _, row = capsys.readouterr().out.splitlines()
    counts = dict(zip(header.split(), (cell.replace(",", "") for cell in row.split())))
    from paradigm_bench import paradigms
    from paradigm_bench.backbones.config import preset
    from paradigm_bench.representations.spec import LatentSpec
    from paradigm_bench.representations.text.encoders import TextSpec

    latent = LatentSpec("codec_builtin", 16000, 25.0, 32, codebooks=4, cardinality=512)
    text = TextSpec(kind="tokens", dim=0, vocabulary=tuple(f"w{i}" for i in range(200)), max_length=64)
    model = paradigms.build("fm", {}, preset("tiny"), latent, text)
    assert int(counts["total"]) == sum(p.numel() for p in model.parameters())
    assert int(counts["backbone"]) == sum(p.numel() for p in model.backbone.parameters())


def test_doctor_names_missing_parts_and_what_they_disable(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.which", lambda name: None)
    assert status(["doctor"]) == 0
    out = capsys.readouterr().out
    assert "bench submit on SLURM" in next(line for line in out.splitlines() if line.startswith("sbatch"))
    assert "times as long as in fp32" in out


@pytest.mark.parametrize(("extra", "said"), [([], "same command goes on"), (["--again"], "command without --again")])
def test_an_interrupted_command_says_how_to_go_on(
    extra: list[str], said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(**given: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("paradigm_bench.benchmarks.cli.main.app", interrupted)
    assert status(["run", "quickstart", *extra]) == 130
    assert said in capsys.readouterr().err
