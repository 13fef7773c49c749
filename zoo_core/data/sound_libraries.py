"""The libraries of the extra `audio`: soundfile, which decodes and encodes sounds, and soxr, which resamples them."""

from __future__ import annotations

from typing import Any

from zoo_core.errors import MissingExtraError


def import_soundfile(purpose: str) -> Any:
    """Return the library soundfile.

    Raises:
        MissingExtraError: where it, or the libsndfile that it needs, is not installed; it names the purpose.
    """
    try:
        import soundfile
    except (ImportError, OSError):  # OSError: without libsndfile
        raise MissingExtraError("audio", purpose) from None
    return soundfile


def import_soxr(purpose: str) -> Any:
    """Return the library soxr. Raises MissingExtraError, which names the purpose, where it is not installed."""
    try:
        import soxr
    except ImportError:
        raise MissingExtraError("audio", purpose) from None
    return soxr
