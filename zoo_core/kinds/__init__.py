"""Kinds of samples: what each reads, writes and shows.

by_name   a kind by its name: the core's, and those of plugins
reading   data as its kind reads it, or the trainer of its model
image     pictures
audio     sounds
text      texts
tensor    samples of any other shape and meaning
output    what `-o` may name, and an output that appears whole or not at all
showing   one picture of samples of any kind
formats   the table of formats of a kind of the core
layout    how many samples a file has, and the shape and type of each
pictures  8-bit arrays, grids, PNG and WebP files, and folders of them
films     animated GIFs and WebPs
arrays    samples of any kind in .npz, .npy, .safetensors and .csv
recordings  sounds in .wav and .flac
spectrogram  sounds to look at
lines     texts to look at
optional_arguments  what a method of a plugin's kind takes
"""

__all__ = [
    "arrays",
    "audio",
    "by_name",
    "films",
    "formats",
    "image",
    "layout",
    "lines",
    "optional_arguments",
    "output",
    "pictures",
    "reading",
    "recordings",
    "showing",
    "spectrogram",
    "tensor",
    "text",
]
