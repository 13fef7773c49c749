"""Kinds of samples: what each writes and shows.

output  the formats that `-o` may name, in one table
layout  how many samples a file has, and the shape and type of each
image   pictures: 8-bit arrays, grids, PNG files and folders of them
arrays  samples of any kind in an .npz
gif     animated GIFs
"""

__all__ = ["arrays", "gif", "image", "layout", "output"]
