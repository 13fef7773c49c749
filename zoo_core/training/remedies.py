"""What to try when a run goes wrong: settings that its trainer has, and that are not in use yet."""

from __future__ import annotations

from zoo_core.interfaces import Settings

_IF_UNUSED = {"r1_gamma": "--set r1_gamma=1", "augment": "--set augment=color,translation,cutout"}


def remedies(settings: Settings, *always: str) -> str:
    """Return what to try, for the end of a sentence.

    Args:
        settings: of the run.
        always: what any run can try.

    Example:
        >>> remedies(Settings(), "another seed", "a lower learning_rate")
        'another seed or a lower learning_rate'
        >>> from zoo_core import GANSettings
        >>> remedies(GANSettings(r1_gamma=2.0), "a lower learning_rate")
        'a lower learning_rate or --set augment=color,translation,cutout'
    """
    *others, last = [*always, *(text for field, text in _IF_UNUSED.items() if not getattr(settings, field, True))]
    return f"{', '.join(others)} or {last}" if others else last
