"""Kinds of samples: what each writes and shows.

image  grids, PNG files and folders; arrays in an .npz
gif    animated GIFs
"""

__all__ = ["gif", "image"]
