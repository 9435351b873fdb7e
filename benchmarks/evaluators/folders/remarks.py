"""What a reader of scores must know of the two sets, a line each: faults of files, and differences between the sets."""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ....common.lines import count
from .outputs import FileOutput

SHOWN = 5  # files or words that a line names
SAME_LENGTH = 1.1  # longest over shortest length that still counts as equal
LEVEL_DB = 3.0  # a larger difference of the median levels is said


@dataclass(frozen=True)
class ScoredFile:
    """A file of one of the sets, with what was found in it."""

    name: str
    output: FileOutput
    caption: str = ""


def remarks(reference: Sequence[ScoredFile], generated: Sequence[ScoredFile]) -> list[str]:
    """Lines on truncated, silent and repeated files, and on lengths, rates and levels."""
    sets = {"reference": reference, "generated": generated}
    lines = [line for kind, clips in sets.items() for line in _of_one_set(kind, clips)]
    return [*lines, *_in_both(reference, generated), *_lengths(sets), *_rates(reference, generated), *_levels(sets)]


def unknown_words(captions: Collection[str], vocabulary: Collection[str], tagger: str) -> list[str]:
    """A line on the share of caption words that are not in a tagger's vocabulary; none if it knows all."""
    from ..builtin.network import split_words  # loads torch

    tokens = (token for caption in captions for token in split_words(caption))
    words = Counter(token for token in tokens if any(letter.isalnum() for letter in token))
    unknown = Counter({word: times for word, times in words.items() if word not in set(vocabulary)})
    if not unknown:
        return []
    share = unknown.total() / words.total()
    examples = ", ".join(word for word, _ in sorted(unknown.items(), key=lambda item: (-item[1], item[0]))[:SHOWN])
    heard = "reads only the rest" if share < 1 else "says nothing"
    return [f"captions: {_percent(share)} of the words are unknown to {tagger} ({examples}); clap_{tagger} {heard}"]


def about_set(kind: str, clips: Sequence[ScoredFile]) -> dict[str, Any]:
    """Sample rates, lengths, levels, silent clips and a digest of all content, for the record; JSON-ready."""
    lengths = [clip.output.seconds for clip in clips]
    loudness, peak = _median_levels(clips)
    about = {
        "sample_rates": sorted({clip.output.rate for clip in clips}),
        "seconds": {"least": min(lengths), "median": statistics.median(lengths), "most": max(lengths)},
        "silent_clips": sum(clip.output.silent for clip in clips),
        "truncated_clips": sum(bool(clip.output.truncated) for clip in clips),
        "loudness_lufs": loudness,
        "peak_dbfs": peak,
    }
    return {f"{name}_{kind}": value for name, value in about.items()}


def _of_one_set(kind: str, clips: Sequence[ScoredFile]) -> list[str]:
    lines = []
    if cut := [clip for clip in clips if clip.output.truncated]:
        named = _named([f"{clip.name} ({clip.output.truncated})" for clip in cut])
        lines.append(f"{kind}: {count(len(cut), 'file')} truncated, scored as far as they go: {named}")
    if silent := sum(clip.output.silent for clip in clips):
        lines.append(f"{kind}: {silent} of {count(len(clips), 'clip')} silent, scored as they are")
    first: dict[str, str] = {}
    copies = [
        f"{clip.name} of {first[clip.output.digest]}"
        for clip in sorted(clips, key=lambda clip: clip.name)
        if first.setdefault(clip.output.digest, clip.name) != clip.name
    ]
    if copies:
        lines.append(f"{kind}: {count(len(copies), 'exact copy', 'exact copies')} of another clip: {_named(copies)}")
    return lines


def _in_both(reference: Sequence[ScoredFile], generated: Sequence[ScoredFile]) -> list[str]:
    names = {clip.output.digest: clip.name for clip in reference}
    same = [f"{clip.name} is {names[clip.output.digest]}" for clip in generated if clip.output.digest in names]
    if not same:
        return []
    return [f"doubtful: {count(len(same), 'generated clip')} also in the reference, sample by sample: {_named(same)}"]


def _lengths(sets: Mapping[str, Sequence[ScoredFile]]) -> list[str]:
    lengths = {kind: [clip.output.seconds for clip in clips] for kind, clips in sets.items()}
    middle = {kind: statistics.median(found) for kind, found in lengths.items()}
    uneven = [
        f"doubtful: {kind} clips last between {min(found):.3g} and {max(found):.3g} s; cut them alike"
        for kind, found in lengths.items()
        if max(found) > SAME_LENGTH * min(found)
    ]
    if max(middle.values()) > SAME_LENGTH * min(middle.values()):
        uneven.append(
            f"doubtful: reference clips last {middle['reference']:.3g} s, generated ones {middle['generated']:.3g} s "
            "(medians); cut them alike"
        )
    return uneven


def _rates(reference: Sequence[ScoredFile], generated: Sequence[ScoredFile]) -> list[str]:
    lowest = [min(clip.output.rate for clip in clips) for clips in (reference, generated)]
    if lowest[0] == lowest[1]:
        return []
    return [f"doubtful: lowest sample rates {lowest[0]} and {lowest[1]} Hz; a narrower band alone moves distances"]


def _levels(sets: Mapping[str, Sequence[ScoredFile]]) -> list[str]:
    levels = {kind: _median_levels(clips) for kind, clips in sets.items()}
    told = [
        f"{kind} {_level(loudness, 'LUFS')}, peak {_level(peak, 'dBFS')}" for kind, (loudness, peak) in levels.items()
    ]
    lines = [f"levels of the mono clips, medians: {'; '.join(told)}"]
    for what, first, second in zip(("loudness", "peak"), levels["reference"], levels["generated"]):
        if first is not None and second is not None and abs(first - second) > LEVEL_DB:
            lower = "lower" if second < first else "higher"
            lines.append(
                f"doubtful: the {what} of generated clips is {abs(first - second):.1f} dB {lower} than of reference "
                "ones; evaluators scale every clip to the same peak, so scores hardly show it"
            )
    return lines


def _median_levels(clips: Sequence[ScoredFile]) -> tuple[float | None, float | None]:
    """Median loudness in LUFS of the clips that have one, and median peak in dBFS; ``None``: no clip has one."""
    loudness = [clip.output.loudness_lufs for clip in clips if not math.isnan(clip.output.loudness_lufs)]
    peaks = [20 * math.log10(clip.output.peak) for clip in clips if clip.output.peak > 0]
    return statistics.median(loudness) if loudness else None, statistics.median(peaks) if peaks else None


def _level(value: float | None, unit: str) -> str:
    return "unknown" if value is None else f"{value:.1f} {unit}"


def _named(items: Sequence[str]) -> str:
    more = f" and {len(items) - SHOWN:,} more" if len(items) > SHOWN else ""
    return ", ".join(items[:SHOWN]) + more


def _percent(share: float) -> str:
    return f"{100 * share:.2g}%" if share < 0.01 else f"{share:.0%}"
