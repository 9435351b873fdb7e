"""The built-in corpus: short pieces of music, composed and rendered from a seed, with exact annotation and a caption.

A clip is a number. From it come attributes (key, instruments, drums, tempo), from these a composition (notes with times
in seconds), from that the audio and a caption. Everything a caption says can be heard, and everything that can be heard
is in the annotation, so that adherence is measured against truth and not against a guess.

    harmony.py      keys, chords, progressions          timbres.py   pitched instruments, additive synthesis
    melody.py       the lead line                       drumkit.py   kick, snare, hats
    patterns.py     rhythms of drums, comping, bass     render.py    a composition to samples
    composition.py  all of it, from one seed            captions.py  the words
    corpus.py       clips and splits                    fluidsynth.py, midi.py   the same music on a soundfont
"""
