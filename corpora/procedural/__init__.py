"""The built-in corpus: short pieces of music, composed and rendered from a seed, with exact annotation and a caption.

A clip is a number. From it come attributes (key, instruments, drums, tempo), from these a composition (notes with times
in seconds), and from that the audio and a caption. Everything in a caption can be heard, and everything that can be
heard is in the annotation, so adherence to the caption is measured against exact facts.

    harmony.py      keys, chords, progressions, lead    corpus.py      clips, splits, captions
    composition.py  rhythms and notes, from one seed    soundfont.py   the same music with sampled instruments
    render.py       instruments, drums, the mix
"""
