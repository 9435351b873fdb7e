"""The words of the chapter: what was run, what came out, what may be concluded, where to listen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.records import Record, read_items
from benchmarks.report.fidelity.board import Board
from benchmarks.report.fidelity.figures import clips
from benchmarks.report.fidelity.scores import Difference, metric_names
from benchmarks.report.fidelity.settings import by_setting
from benchmarks.report.fidelity.tables import comparison, contents, costs, tuning
from benchmarks.report.markup import image, link

TITLE = "Fidelity"
GUIDE = """\
**How to read the tables.** Rows in italics are ceilings (real audio, codec reconstructions) and floors (real
audio of another caption, noise, silence); they answer the same prompts as the arms. In brackets: 95% bootstrap
intervals, clustered on prompt and, with several seeds, on seed. Bold: the best estimate among the arms, which
is no verdict; verdicts come from paired differences with Holm's correction over the table. `adherence`: share
of what a caption asks for that the evaluator hears; `fad`, `kad`: Frechet and kernel distance to as many other
real clips; `kl`: what it hears in a clip against what it hears in the real clip of the same caption (so 0 for
real audio); `clap`: similarity of clip and caption. The suffix names the evaluator: {evaluators}. Its scores,
`fad_builtin` above all, are not comparable with published figures, which come from other networks and other
audio. `s / clip`: sampling and decoding, in batches, on the machine named below."""


TUNING = """The reward is `{reward}`. `reward`: its mean on the watched clips (the same captions and seeds in every
round, of the training split), before and after; `diversity`: mean distance of two of them for the judge, which stops
tuning when it falls too far; `distance`: how far the judge finds a clip moved from the same clip before tuning;
`effective clips`: as how many equally weighted ones the first round's weights exp(tau reward) count. The column
`reward` of the scores is of the test prompts."""


@dataclass(frozen=True)
class Findings:
    """One study with all that is computed from its records."""

    board: Board
    differences: list[Difference]
    figures: Mapping[str, Path]
    settings: Sequence[tuple[Mapping[str, Any], Board]] = ()


def opening(found: Sequence[Findings]) -> list[str]:
    """The first study in short, what the others ask, and how to read them."""
    head = found[0]
    return [
        f"## {TITLE}",
        f"### In short: {head.board.study}",
        comparison(head.board).markdown(),
        conclusion(head.differences),
        "### All studies",
        contents([one.board for one in found]).markdown(),
        GUIDE.format(evaluators=", ".join(dict.fromkeys(_evaluator(one.board) for one in found))),
    ]


def section(one: Findings, home: Path) -> list[str]:
    """One study in full."""
    board, figures = one.board, one.figures
    parts = [f"### {board.study}", ran(board), "#### Scores", comparison(board).markdown()]
    if metric_names(board, "further"):
        parts += ["What whole sets show, against as many real clips:"]
        parts += [comparison(board, "further").markdown()]
    if metric_names(board, "details"):
        parts += ["Adherence by attribute, over the clips whose captions ask for it:"]
        parts += [comparison(board, "details").markdown()]
    parts += [image(figures, "scores", home, "Scores with 95% intervals.")]
    if one.differences:
        every = link("CSV", board.folder / "differences.csv", home)
        parts += ["#### Differences between systems", conclusion(one.differences), f"All of them as {every}."]
    if (tuned := tuning(board)).body:
        reward = _newest(board).cell["evaluation"].get("reward", {}).get("name", "")
        parts += ["#### Fine-tuning by reward", TUNING.format(reward=reward), tuned.markdown()]
    if board.arms:
        parts += ["#### What training cost", costs(board).markdown()]
        text = (
            "Training loss over its first value (losses of different paradigms do not compare), adherence at snapshots."
        )
        parts += [image(figures, "learning", home, text)]
    parts += _settings(one)
    parts += _listening(board, figures, home)
    if board.left_out:
        what = "; ".join(f"{n} that differ in {keys}" for keys, n in board.left_out.items())
        parts.append(f"Records of other settings, not shown: {what}.")
    table, records = board.folder / "table.csv", board.folder / "records"
    return [*parts, f"The table as {link('CSV', table, home)}; the {link('records', records, home)}."]


def _settings(one: Findings) -> list[str]:
    """All settings, where the study has several."""
    if len(one.settings) < 2:
        return []
    text = "Every setting among the records, final weights of each; the tables above show the newest."
    return ["#### By setting", text, by_setting(one.settings).markdown()]


def ran(board: Board) -> str:
    """Study, budget, machine, versions and command."""
    record = _newest(board)
    lines = [_data_line(record.cell), *_training_lines(board, record.cell), _machine_line(record.environment)]
    commands = dict.fromkeys(r.command for r in board.records if r.command)
    lines.append("Command: " + ", ".join(f"`{command}`" for command in commands) + f" ({record.created[:10]}).")
    return "\n".join(f"- {line}" for line in lines)


def _data_line(cell: Mapping[str, Any]) -> str:
    data, exam = cell["data"], cell["evaluation"]
    corpus, representation = data["corpus"]["name"], data["representation"]["name"]
    return (
        f"Corpus `{corpus}`, representation `{representation}`, text `{data['text']}`; {exam['prompts']} prompts of "
        f"the {exam['split']} split, clips of {exam['seconds']:g} s at {exam['sample_rate']} Hz, "
        f"evaluator `{exam['evaluator']['name']}`."
    )


def _training_lines(board: Board, cell: Mapping[str, Any]) -> list[str]:
    if "train" not in cell:
        return []
    backbone, train = cell["model"]["backbone"], cell["train"]
    seeds = sorted({record.seed for row in board.arms for record in row.records})
    return [
        f"Every arm: backbone of width {backbone['d_model']} with {backbone['n_layers']} layers; {_budget(train)} "
        f"updates of {train['batch']} × {train['seconds']:g} s, lr {train['lr']:g}, EMA {train['ema_decay']:g}, "
        f"{train['precision']}; seeds {', '.join(map(str, seeds))}.",
        "Samplers: " + "; ".join(_sampler(row.records[0]) for row in board.arms) + ".",
    ]


def _budget(train: Mapping[str, Any]) -> str:
    """How many updates: a number, or as many as another budget buys each arm (the table of costs has them)."""
    if "budget" not in train:
        return f"{train['updates']:,}"
    amount = train["budget"]["amount"]
    asked = {
        "tokens": f"{amount:,.0f} latent frames",
        "flops": f"{amount / 1e12:,.4g} TFLOPs",
        "wall_seconds": f"{amount:,.4g} seconds by the clock",
    }[train["budget"]["unit"]]
    return f"a budget of {asked} each, spent in"


def _machine_line(machine: Mapping[str, Any]) -> str:
    git, packages = machine.get("git", {}), machine.get("packages", {})
    revision = (git.get("revision") or "unknown")[:10] + " with uncommitted changes" * bool(git.get("dirty"))
    return (
        f"Machine: {machine.get('cpu')}, {machine.get('cores')} cores, {machine.get('threads')} thread(s) per worker, "
        f"device {machine.get('device')}; Python {machine.get('python')}, torch {packages.get('torch')}; "
        f"code {revision}."
    )


def conclusion(found: Sequence[Difference]) -> str:
    """What the paired differences allow one to say, in sentences."""
    if not found:
        return "No two systems can be compared on the same prompts yet."
    lines = []
    for metric in dict.fromkeys(d.metric for d in found):
        own = [d for d in found if d.metric == metric]
        between = [d for d in own if d.b != "shuffled_captions"]
        decided = [_sentence(d, *d.ranked) for d in between if d.ranked]
        same = [f"{d.a}–{d.b}" for d in between if d.judgement.verdict == "same"]
        open_ = [f"{d.a}–{d.b}" for d in between if d.judgement.verdict == "undecided"]
        said = [", ".join(decided)] if decided else []
        if same:
            said.append(f"the same within {own[0].comparison.margin:.2g}: {', '.join(same)}")
        if open_:
            said.append(
                "no pair of arms is decided" if len(open_) == len(between) else f"undecided: {', '.join(open_)}"
            )
        floors = [d for d in own if d.b == "shuffled_captions"]
        if floors:
            kinds = dict.fromkeys(d.judgement.verdict for d in floors)
            named = [f"{', '.join(d.a for d in floors if d.judgement.verdict == kind)} {kind}" for kind in kinds]
            said.append(f"against shuffled captions: {', '.join(named)}")
        lines.append(f"- `{metric}`: {'; '.join(said)}.")
    basis = (
        "Paired on prompts and seeds, Holm's correction over all (α = .05); the same: within 5% of the way from real "
        "audio to its nearest floor:"
    )
    return f"{basis}\n\n" + "\n".join(lines)


def summary(one: Findings) -> str:
    """For the terminal after a run: the table, the verdicts, where to listen."""
    audio = one.board.folder / "audio"
    listen = f"\n\nListen: {audio}/" if audio.is_dir() else ""
    return f"{comparison(one.board).plain()}\n\n{conclusion(one.differences)}{listen}"


def _sentence(d: Difference, winner: str, loser: str) -> str:
    return f"{winner} beats {loser} by {abs(d.comparison.difference.estimate):.2g} (p {d.judgement.p_adjusted:.2g})"


def _listening(board: Board, figures: Mapping[str, Path], home: Path) -> list[str]:
    """Per fixed prompt: its caption, and a link to each system's clip."""
    files = {row.system: clips(row) for row in board.rows if row.good}
    captions = _captions(board)
    lines = []
    for prompt in dict.fromkeys(prompt for held in files.values() for prompt in held):
        kept = {system: board.folder / held[prompt] for system, held in files.items() if prompt in held}
        links = [link(system, path, home) for system, path in kept.items() if path.exists()]
        lines.append(f"1. “{captions.get(prompt, prompt)}” {' · '.join(links)}")
    if not lines:
        return []
    text = "Log-frequency spectrograms of the fixed prompts, in the order above, 70 dB range."
    return ["#### Listen", "\n".join(lines), image(figures, "spectrograms", home, text)]


def _captions(board: Board) -> dict[str, str]:
    rows = [row.good[0] for row in board.rows if row.good]
    items = read_items(board.folder, rows[0]) if rows else []
    return {str(item["item"]).replace("/", "_"): str(item.get("caption", "")) for item in items}


def _newest(board: Board) -> Record:
    return max(board.records, key=lambda r: (r.kind == "paradigm", r.created))


def _evaluator(board: Board) -> str:
    evaluator = _newest(board).cell["evaluation"]["evaluator"]
    return f"`{evaluator['name']}` ({evaluator['identity'][:8]})"


def _sampler(record: Record) -> str:
    return f"{record.system} " + ", ".join(f"{key} {value}" for key, value in record.cell.get("sampler", {}).items())
