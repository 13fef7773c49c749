"""Kinds of samples: what each reads, writes and shows.

by_name   a kind by its name: the core's, and those of plugins
reading   data as its kind reads it, or the trainer of its model
image     pictures
audio     sounds
text      texts
tensor    samples of any other shape and meaning
output    the formats that `-o` may name, in one table
layout    how many samples a file has, and the shape and type of each
pictures  8-bit arrays, grids, PNG files and folders of them
arrays    samples of any kind in an .npz
recordings  sounds in .wav and .flac
spectrogram  sounds to look at
lines     texts to look at
gif       animated GIFs
"""

__all__ = [
    "arrays",
    "audio",
    "by_name",
    "gif",
    "image",
    "layout",
    "lines",
    "output",
    "pictures",
    "reading",
    "recordings",
    "spectrogram",
    "tensor",
    "text",
]
