"""Which files are sounds, by their names, and which of them can be read here."""

from __future__ import annotations

from zoo_core.data.file_types import FileType
from zoo_core.data.picture_formats import suffix_of

_READ = (".aif", ".aifc", ".aiff", ".au", ".caf", ".flac", ".mp3", ".oga", ".ogg", ".opus", ".rf64", ".snd", ".w64",
         ".wav", ".wave")  # fmt: skip
_CONVERT_FIRST = (".3ga", ".aac", ".ac3", ".amr", ".ape", ".dsf", ".m4a", ".m4b", ".mka", ".mpc", ".wma", ".wv")


def is_readable(name: str) -> bool:
    """Return whether a file of this name is a sound that is read here; all but .wav need the extra `audio`.

    Example:
        >>> is_readable("a.WAV"), is_readable("a.m4a"), is_readable("a.txt")
        (True, False, False)
    """
    return suffix_of(name) in _READ


def is_sound(name: str) -> bool:
    """Return whether a file of this name is a sound, whether it can be decoded here or not.

    Example:
        >>> is_sound("a.flac"), is_sound("a.m4a"), is_sound("a.csv")
        (True, True, False)
    """
    return is_readable(name) or suffix_of(name) in _CONVERT_FIRST


def remedy(suffix: str) -> str:
    """Return what makes sounds with this suffix readable, as a phrase.

    Example:
        >>> remedy(".m4a")
        'convert them to FLAC'
    """
    return "convert them to FLAC"


SOUNDS = FileType(
    noun=("sound", "sounds"),
    role="audio",
    columns=("audio", "sound", "speech"),
    feature="Audio",
    reads="a folder of sounds (.wav, .flac, .ogg, .mp3, …), .parquet, .zip, .npz or .npy",
    is_one=is_sound,
    is_readable=is_readable,
    remedy=remedy,
)
