"""A composition as a standard MIDI file (format 0, one track), for renderers that play soundfonts.

Source: MIDI 1.0, "Standard MIDI Files 1.0" (RP-001). At 500 000 microseconds per quarter and 480 ticks per quarter, one
tick is 1/960 s; note times in seconds are rounded to that.
"""

from __future__ import annotations

import struct

from .composition import Composition, Note

TICKS_PER_SECOND = 960
PROGRAMS = {  # General MIDI, counted from 0
    "piano": 0, "organ": 16, "guitar": 25, "strings": 48,
    "flute": 73, "square lead": 80, "vibraphone": 11, "violin": 40,
    "bass": 33,
}  # fmt: skip
_LOUDNESS = {"lead": 112, "comp": 66, "bass": 92, "drums": 92}  # velocity at full accent
_DRUM_CHANNEL, _DRUM_SECONDS = 9, 0.1


def midi_file(composition: Composition) -> bytes:
    """The bytes of the MIDI file."""
    brief = composition.brief
    parts = (
        ("lead", brief.lead, composition.lead),
        ("comp", brief.comp, composition.comp),
        ("bass", "bass", composition.bass),
    )
    events: list[
        tuple[int, int, bytes]
    ] = []  # (tick, rank: at one tick, programs, then note ends, then starts), message
    for channel, (role, instrument, notes) in enumerate(parts):
        events.append((0, 0, bytes((0xC0 | channel, PROGRAMS[instrument]))))
        for note in notes:
            events += _note_events(channel, note, _LOUDNESS[role])
    for time, drum in composition.drum_hits:
        events += _note_events(_DRUM_CHANNEL, Note(time, time + _DRUM_SECONDS, drum), _LOUDNESS["drums"])
    track, now = b"", 0
    for tick, _, message in sorted(events):
        track += _variable_length(tick - now) + message
        now = tick
    track += _variable_length(TICKS_PER_SECOND) + b"\xff\x2f\x00"  # end of track, a second later
    header = struct.pack(">4sIHHH", b"MThd", 6, 0, 1, TICKS_PER_SECOND // 2)
    return header + struct.pack(">4sI", b"MTrk", len(track)) + track


def _note_events(channel: int, note: Note, loudness: int) -> list[tuple[int, int, bytes]]:
    start, end = round(note.start * TICKS_PER_SECOND), round(note.end * TICKS_PER_SECOND)
    velocity = round(loudness * note.velocity)
    return [
        (start, 2, bytes((0x90 | channel, note.midi, velocity))),
        (end, 1, bytes((0x80 | channel, note.midi, 0))),
    ]


def _variable_length(value: int) -> bytes:
    """Seven bits a byte, most significant first, the high bit set on all but the last."""
    groups = [value & 0x7F]
    while value := value >> 7:
        groups.append(value & 0x7F | 0x80)
    return bytes(reversed(groups))
