"""The scaffold: a new plugin, a whole distribution that passes its own tests.

writing    Scaffold, what the user chose, and `write`
templates  the files, as Jinja templates
"""

from zoo_core.scaffold.writing import KINDS, LICENSES, Scaffold, write

__all__ = ["KINDS", "LICENSES", "Scaffold", "write"]
