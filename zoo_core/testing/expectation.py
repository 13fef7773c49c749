"""The one form of every failure of the contract: what was expected and why, what came instead, and how to fix it."""

from __future__ import annotations

from zoo_core.errors import ContractError


def expect(met: bool, expected: str, reason: str, fix: str, actual: object = None) -> None:
    """Raise ContractError unless an expectation is met.

    Args:
        met: whether it is.
        expected: what the contract expects, as a clause: "a sample is float32".
        reason: why, as a clause.
        fix: what the author of the plugin can do, in the imperative.
        actual: what came instead, if `expected` leaves it open.

    Example:
        >>> expect(1 + 1 == 2, "one and one is two", "sums are right", "count again")
        >>> expect(False, "logits are (N,)", "a (N, 1) broadcasts", "squeeze the last dimension", (16, 1))
        Traceback (most recent call last):
        zoo_core.errors.ContractError: the contract expects that logits are (N,), because a (N, 1) broadcasts; got: \
(16, 1); to fix it, squeeze the last dimension
    """
    __tracebackhide__ = True  # pytest shows the test, not this line
    if not met:
        raise violation(expected, reason, fix, actual)


def violation(expected: str, reason: str, fix: str, actual: object = None) -> ContractError:
    """Return the error that `expect` raises, to raise it from the error that was met."""
    got = "" if actual is None else f"; got: {actual}"
    return ContractError(f"the contract expects that {expected}, because {reason}{got}; to fix it, {fix}")
