"""Contract tests: what the zoo expects of an architecture, as tests that a plugin inherits.

    from zoo_core.testing import ArchitectureContract


    class TestRing(ArchitectureContract):
        architecture = "ring"

pytest runs the tests that the class inherits. `zoo plugins check` runs the static ones on installed plugins. pytest is
not imported here, since the core does not depend on it.

contract                 ArchitectureContract, the tests
static                   checks that compute nothing, on the meta device
probes                   running networks, and corrupting their files
option_probes            other values of sampling options, and which of them a model reads
likelihood_probes        data as log_prob takes them, and samples whose probabilities add up to 1 at most
small_run                a trainer on one batch, through all its stages, and what it changes
expectation              the form of every failure: expected, why, what came instead, how to fix it
architecture_under_test  an architecture with one configuration, and its networks and data
installed                results of the static checks on installed plugins
"""

from zoo_core.testing.contract import ArchitectureContract

__all__ = ["ArchitectureContract"]
