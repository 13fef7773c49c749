"""Which files are pictures that can be read here, by their names, and what to install for the others."""

from __future__ import annotations

import functools
import importlib
from pathlib import PurePosixPath

from PIL import Image

from zoo_core.data.file_types import FileType

# Documents and data that Pillow only recognises, writes, or hands to another program.
_NO_PICTURES = {".bufr", ".emf", ".eps", ".grib", ".h5", ".hdf", ".mpeg", ".mpg", ".pdf", ".ps", ".wmf"}
# Formats that Pillow reads with a plugin or in a newer version: what to install, and the module that is imported then.
WITH_PLUGINS = {
    ".avif": ("pillow-avif-plugin", "pillow_avif"),
    ".heic": ("pillow-heif", "pillow_heif"),
    ".heif": ("pillow-heif", "pillow_heif"),
    ".hif": ("pillow-heif", "pillow_heif"),
    ".jxl": ("pillow-jxl-plugin", "pillow_jxl"),
}
# Formats that no plugin makes into pixels; their names still say that these are pictures.
_CONVERT_FIRST = (".arw", ".cr2", ".cr3", ".dng", ".nef", ".orf", ".raf", ".rw2", ".svg", ".svgz", ".xcf")


def suffix_of(name: str) -> str:
    """Return the suffix of a file name in lower case, with its dot; empty without one.

    Example:
        >>> suffix_of("cats/IMG_1.JPG"), suffix_of("LICENSE")
        ('.jpg', '')
    """
    return PurePosixPath(name).suffix.lower()


def is_readable(name: str) -> bool:
    """Return whether a file of this name is a picture that can be decoded here.

    Example:
        >>> is_readable("a.PNG"), is_readable("a.txt"), is_readable("a.pdf")
        (True, False, False)
    """
    suffix = suffix_of(name)
    return suffix in _readable_suffixes() or (suffix in WITH_PLUGINS and register_plugins(suffix))


def is_picture(name: str) -> bool:
    """Return whether a file of this name is a picture, whether it can be decoded here or not.

    Example:
        >>> is_picture("a.png"), is_picture("a.svg"), is_picture("a.csv")
        (True, True, False)
    """
    return is_readable(name) or suffix_of(name) in (*WITH_PLUGINS, *_CONVERT_FIRST)


def remedy(suffix: str) -> str:
    """Return what makes pictures with this suffix readable, as a phrase.

    Example:
        >>> remedy(".heic"), remedy(".svg")
        ('pip install pillow-heif', 'convert them to PNG')
    """
    plugin = WITH_PLUGINS.get(suffix)
    return f"pip install {plugin[0]}" if plugin else "convert them to PNG"


@functools.cache
def register_plugins(suffix: str = "") -> bool:
    """Make Pillow know the installed plugins for formats that it cannot read by itself.

    They add formats to those of this process, and change none that Pillow has.

    Args:
        suffix: of the one format that is needed; all of them by default.

    Returns:
        Whether a plugin was there.
    """
    found = False
    for module in {name for of, (_, name) in WITH_PLUGINS.items() if suffix in ("", of)}:
        try:
            plugin = importlib.import_module(module)
            if hasattr(plugin, "register_heif_opener"):
                plugin.register_heif_opener()
        except Exception:  # not installed, or made for another Pillow: then the format is one that cannot be read
            continue
        found = True
    return found


@functools.cache
def _readable_suffixes() -> frozenset[str]:
    known = Image.registered_extensions()
    # A photo with a second view (MPO) is opened as the JPEG that it begins with.
    return frozenset(suffix for suffix, name in known.items() if name in Image.OPEN or name == "MPO") - _NO_PICTURES


PICTURES = FileType(
    noun=("picture", "pictures"),
    role="image",
    columns=("image", "img", "picture"),
    feature="Image",
    reads="a folder of pictures, .parquet, .zip, .npz, .npy or an idx file of MNIST's kind",
    is_one=is_picture,
    is_readable=is_readable,
    remedy=remedy,
)
