"""Contract tests: what the zoo asks of an architecture, as tests that a plugin inherits.

    from zoo_core.testing import ArchitectureContract


    class TestRing(ArchitectureContract):
        architecture = "ring"

pytest runs the rest. `zoo plugins check` runs the part of it that computes nothing, on what is installed. pytest is
not imported here: the core does not depend on it.
"""

from zoo_core.testing.contract import ArchitectureContract

__all__ = ["ArchitectureContract"]
