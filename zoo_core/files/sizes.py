"""Sizes in bytes, written for people to read."""

from __future__ import annotations


def readable_size(count: float) -> str:
    """Write a number of bytes in B, kB, MB or GB (powers of 1000).

    Example:
        >>> readable_size(512), readable_size(12_345_678), readable_size(2.5e9)
        ('512 B', '12.3 MB', '2.5 GB')
    """
    if count < 1000:
        return f"{count:.0f} B"
    for unit in ("kB", "MB"):
        count /= 1000
        if count < 1000:
            return f"{count:.1f} {unit}"
    return f"{count / 1000:,.1f} GB"
