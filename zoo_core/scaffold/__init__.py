"""The scaffold of a new plugin: a complete distribution that passes its own tests.

writing    Scaffold, with the user's choices, and `write`
templates  the files, as Jinja templates
"""

from zoo_core.scaffold.writing import KINDS, LICENSES, SAMPLES, SAMPLES_OF, Scaffold, write

__all__ = ["KINDS", "LICENSES", "SAMPLES", "SAMPLES_OF", "Scaffold", "write"]
