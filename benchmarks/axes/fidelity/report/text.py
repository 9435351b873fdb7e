"""The words of a study's page: what was run, what the differences allow one to say, where to listen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .....common.lines import count
from ....analysis.items import item_columns
from ....analysis.pooling import Difference, metric_names
from ....analysis.records import Record
from ....analysis.result_table import Board
from ....report.markup import bullets, folded, image, link, records_of
from .figures import clips
from .settings import by_setting
from .tables import comparison, costs, spent, tuning

GUIDE = """\
Rows in italics are not arms: ceilings (real audio, real audio through the codec) and floors (real audio of another
caption, noise, silence), scored on the same prompts. Brackets hold 95% bootstrap intervals, drawn over prompts and,
with several seeds, over seeds. Bold marks the best estimate among the arms, whether or not the difference is decided.

- `adherence`: share of what the caption asks for that the evaluator hears in the clip.
- `fad`, `kad`: Frechet and kernel distance between the clips and as many other real clips.
- `kl`: what the evaluator hears in the clip against what it hears in the caption's real clip; 0 for real audio.
- `clap`: similarity of clip and caption.
- `s / clip`: seconds of sampling and decoding per clip, in batches, on the machine named below.

The suffix of a metric names the evaluator: {evaluator}. Scores of the built-in evaluator (`fad_builtin` and so on)
cannot be compared with published figures, which come from other networks and other audio."""
PLACED = (
    "Where each arm stands between the nearest floor (shuffled captions, noise or silence) and real audio. Further "
    "right is better. Bars: 95% intervals. Dotted: real audio through the codec."
)
TUNING = """The reward is `{reward}`. `reward`: its mean on the watched clips (the same captions and seeds in every
round, of the training split), before and after. `diversity`: mean distance of two of these clips for the evaluator;
tuning stops when it falls too far. `distance`: how far a clip moves from the same clip before tuning. `effective
clips`: the number of equally weighted clips that the first round's weights exp(tau reward) amount to. The column
`reward` of the scores is measured on the test prompts."""
PAIRED = """\
Paired on prompts and seeds, with Holm's correction over all comparisons of the study (α = .05). Two arms count as the
same where the whole interval lies within 5% of the distance from real audio to its nearest floor."""
SPECTROGRAMS = "Log-frequency spectrograms of the prompts in this order, 70 dB range."
PAIRS = 8  # a longer list of pairs is counted


@dataclass(frozen=True)
class Findings:
    """One study with all that is computed from its records.

    ``short``: why its arms cannot be compared; empty where they can.
    """

    board: Board
    differences: list[Difference]
    figures: Mapping[str, Path]
    settings: Sequence[tuple[Mapping[str, Any], Board]] = ()
    short: str = ""


def measured(board: Board) -> str:
    """What was measured, in a sentence."""
    record = newest(board)
    eval_set, corpus = record.cell["evaluation"], record.cell["data"]["corpus"]["name"]
    seeds = len({run.seed for run in board.runs})
    arms = len({row.records[0].system for row in board.arms})
    trained = f"{count(arms, 'arm')}, trained for {count(spent(board.runs), 'update')} with {count(seeds, 'seed')}"
    return (
        f"{trained if board.runs else 'No trained arm'}; {count(eval_set['prompts'], 'prompt')} of the corpus "
        f"`{corpus}`, clips of {eval_set['seconds']:g} s, judged by the evaluator `{eval_set['evaluator']['name']}`."
    )


def details(one: Findings) -> list[str]:
    """What stands below the scores and the answers."""
    board, home = one.board, one.board.folder
    parts = listening(board, one.figures.get("spectrograms"), SPECTROGRAMS)
    if one.differences:
        parts += ["## Differences between systems", PAIRED, conclusion(one.differences)]
        parts += [
            f"Every comparison with its interval and p: {link('differences.csv', home / 'differences.csv', home)}."
        ]
    parts += _further(one)
    if (tuned := tuning(board)).body:
        reward = newest(board).cell["evaluation"].get("reward", {}).get("name", "")
        parts += ["## Fine-tuning by reward", TUNING.format(reward=reward), tuned.markdown()]
    if board.arms:
        caption = "Training loss over its first value (losses of different paradigms do not compare) and adherence."
        parts += ["## Training", costs(board).markdown(), image(one.figures.get("learning"), home, caption)]
    parts += ["## How it was run", ran(board)]
    if board.left_out:
        parts.append(f"Records of other settings, not shown: {'; '.join(_left_out(board))}.")
    parts.append(f"The {records_of(home)} hold everything above.")
    return [*parts, folded("How to read the tables", GUIDE.format(evaluator=_evaluator(board)))]


def _further(one: Findings) -> list[str]:
    """Metrics beside the main ones, and all settings where the study has several."""
    board, parts = one.board, []
    leaders = not one.short
    if metric_names(board, "further"):
        parts += ["What whole sets show, against as many real clips:"]
        parts += [comparison(board, "further", leaders).markdown()]
    if metric_names(board, "details"):
        parts += ["Adherence by attribute, over the clips whose captions ask for it:"]
        parts += [comparison(board, "details", leaders).markdown()]
    if len(one.settings) > 1:
        parts += ["### By setting", "Every setting among the records, at the end of training:"]
        parts += [by_setting(one.settings).markdown()]
    return ["## Further scores", *parts] if parts else []


def _left_out(board: Board) -> list[str]:
    return [f"{n} that differ in {keys}" for keys, n in board.left_out.items()]


def ran(board: Board) -> str:
    """Settings, machine, versions and command."""
    record = newest(board)
    lines = [_data_line(record.cell), *_training_lines(board, record.cell), _machine_line(record.environment)]
    commands = dict.fromkeys(r.command for r in board.records if r.command)
    lines.append("Command: " + ", ".join(f"`{command}`" for command in commands) + f" ({record.created[:10]}).")
    return bullets(lines)


def _data_line(cell: Mapping[str, Any]) -> str:
    data, eval_set = cell["data"], cell["evaluation"]
    corpus, representation = data["corpus"]["name"], data["representation"]["name"]
    return (
        f"Corpus `{corpus}`, representation `{representation}`, text `{data['text']}`; "
        f"{count(eval_set['prompts'], 'prompt')} of the {eval_set['split']} split, clips of {eval_set['seconds']:g} s "
        f"at {eval_set['sample_rate']} Hz, evaluator `{eval_set['evaluator']['name']}`."
    )


def _training_lines(board: Board, cell: Mapping[str, Any]) -> list[str]:
    if "train" not in cell:
        return []
    backbone, train = cell["model"]["backbone"], cell["train"]
    seeds = sorted({record.seed for row in board.arms for record in row.records})
    return [
        f"Every arm: backbone of width {backbone['d_model']} with {count(backbone['n_layers'], 'layer')}; "
        f"{count(_budget(train), 'update')} of {train['batch']} × {train['seconds']:g} s, "
        f"lr {train['lr']:g}, EMA {train['ema_decay']:g}, {train['precision']}; seeds {', '.join(map(str, seeds))}.",
        "Samplers: " + "; ".join(dict.fromkeys(_sampler(row.records[0]) for row in board.arms)) + ".",
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


def _many(machine: Mapping[str, Any], noun: str) -> str:
    return count(machine.get(f"{noun}s") or "?", noun)


def _machine_line(machine: Mapping[str, Any]) -> str:
    git, packages = machine.get("git", {}), machine.get("packages", {})
    revision = (git.get("revision") or "unknown")[:10] + " with uncommitted changes" * bool(git.get("dirty"))
    return (
        f"Machine: {machine.get('cpu')}, {_many(machine, 'core')}, {_many(machine, 'thread')} per worker, "
        f"device {machine.get('device')}; Python {machine.get('python')}, torch {packages.get('torch')}; "
        f"code {revision}."
    )


def conclusion(found: Sequence[Difference]) -> str:
    """What the paired differences allow one to say, a line per metric."""
    lines = []
    for metric in dict.fromkeys(d.metric for d in found):
        own = [d for d in found if d.metric == metric]
        between = [d for d in own if d.b != "shuffled_captions"]
        decided = [_sentence(d, *d.ranked) for d in between if d.ranked]
        same = [f"{d.a} and {d.b}" for d in between if d.judgement.verdict == "same"]
        open_ = [f"{d.a} and {d.b}" for d in between if d.judgement.verdict == "undecided"]
        said = [", ".join(decided)] if decided else []
        if same:
            said.append(f"the same within {own[0].comparison.margin:.2g}: {_pairs(same, between)}")
        if open_:
            every = len(open_) == len(between)
            said.append("no pair of arms is decided" if every else f"undecided: {_pairs(open_, between)}")
        floors = [d for d in own if d.b == "shuffled_captions"]
        if floors:
            kinds = dict.fromkeys(d.judgement.verdict for d in floors)
            named = [f"{', '.join(d.a for d in floors if d.judgement.verdict == kind)} {kind}" for kind in kinds]
            said.append(f"against shuffled captions: {', '.join(named)}")
        lines.append(f"`{metric}`: {'; '.join(said)}.")
    return bullets(lines)


def _pairs(pairs: Sequence[str], of: Sequence[Difference]) -> str:
    return ", ".join(pairs) if len(pairs) <= PAIRS else f"{len(pairs)} of {count(len(of), 'pair')}"


def _sentence(d: Difference, winner: str, loser: str) -> str:
    return f"{winner} beats {loser} by {abs(d.comparison.difference.estimate):.2g} (p {d.judgement.p_adjusted:.2g})"


def listening(board: Board, figure: Path | None, caption: str) -> list[str]:
    """Per fixed prompt its caption and a link to each system's clip; which arms have none; a figure of them."""
    home = board.folder
    files = {row.system: clips(home, row) for row in board.rows if row.good}
    captions = _captions(board)
    lines = []
    for prompt in dict.fromkeys(prompt for held in files.values() for prompt in held):
        kept = {system: held[prompt] for system, held in files.items() if prompt in held}
        links = [link(system, path, home) for system, path in kept.items()]
        lines.append(f"1. “{captions.get(prompt, prompt)}” {' · '.join(links)}")
    if not lines:
        return []
    silent = [row.system for row in board.arms if row.good and not files[row.system]]
    missing = f"No clips are kept here of {', '.join(silent)}." if silent else ""
    return ["## Listen", "\n".join(lines), missing, image(figure, home, caption)]


def _captions(board: Board) -> dict[str, str]:
    """Prompt as file names have it -> caption, from the first system whose items tell it."""
    for row in (row for row in board.rows if row.good):
        columns = item_columns(board.folder, row.good[0])
        if "caption" in columns:
            return {item.replace("/", "_"): text for item, text in zip(columns["item"], columns["caption"])}
    return {}


def newest(board: Board) -> Record:
    """The newest record of an arm, or of a reference where there is no arm: its settings are the table's."""
    return max(board.records, key=lambda r: (r.kind == "paradigm", r.created))


def _evaluator(board: Board) -> str:
    evaluator = newest(board).cell["evaluation"]["evaluator"]
    return f"`{evaluator['name']}` ({evaluator['identity'][:8]})"


def _sampler(record: Record) -> str:
    return f"{record.system} " + ", ".join(f"{key} {value}" for key, value in record.cell.get("sampler", {}).items())
