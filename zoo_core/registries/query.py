"""What a look-up asks for: the conditions on an entry, by which entries in memory and in an index are found alike."""

from __future__ import annotations

import fnmatch
import re
from dataclasses import dataclass
from functools import cached_property

from zoo_core.interfaces.names import canonical_name
from zoo_core.registries.entries import ModelEntry


@dataclass(frozen=True)
class Query:
    """Conditions that an entry meets, every one of them.

    Attributes:
        pattern: a glob that the name or an alias matches; upper and lower case differ.
        architecture: name of the architecture; `-` and `_` compare equal.
        dataset: name of the data set.
        tag: one of the tags.
        license: identifier of the licence.
        plugin: the distribution that provides the architecture; `-`, `_` and `.` compare equal.
        search: words that all occur in what the entry says, in any order; upper and lower case are equal.
        bundled: only models whose files are beside their registry.

    Example:
        >>> Query("r*").matches(ModelEntry(name="ring", architecture="ring"))
        True
    """

    pattern: str = "*"
    architecture: str | None = None
    dataset: str | None = None
    tag: str | None = None
    license: str | None = None
    plugin: str | None = None
    search: str | None = None
    bundled: bool = False

    @cached_property
    def glob(self) -> re.Pattern[str]:
        """The glob as a regular expression."""
        return re.compile(fnmatch.translate(self.pattern))

    @cached_property
    def words(self) -> tuple[str, ...]:
        """The words that are searched for, in lower case."""
        return tuple((self.search or "").lower().split())

    def matches(self, entry: ModelEntry) -> bool:
        """Return whether the entry meets all conditions."""
        return (
            any(self.glob.match(name) for name in (entry.name, *entry.aliases))
            and (self.architecture is None or canonical_name(entry.architecture) == canonical_name(self.architecture))
            and (self.plugin is None or canonical_name(entry.plugin or "") == canonical_name(self.plugin))
            and (self.dataset is None or entry.dataset == self.dataset)
            and (self.tag is None or self.tag in entry.tags)
            and (self.license is None or entry.license == self.license)
            and (not self.bundled or entry.bundled is not None)
            and self._says_all_words(entry)
        )

    def _says_all_words(self, entry: ModelEntry) -> bool:
        if not self.words:
            return True
        text = searched_text(entry)
        return all(word in text for word in self.words)


def searched_text(entry: ModelEntry) -> str:
    """Return the text that words are searched in, in lower case.

    Example:
        >>> searched_text(ModelEntry(name="ring", architecture="ring", summary="Points", tags=("2d",)))
        'ring\\nring\\npoints\\n2d'
    """
    stated = (entry.name, *entry.aliases, entry.architecture, entry.summary, *entry.tags)
    more = (entry.plugin, entry.dataset, entry.license)
    return "\n".join((*stated, *filter(None, more))).lower()
