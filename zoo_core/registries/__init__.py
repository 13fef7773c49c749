"""Registries: which models there are, what is known of each, and where it is. Imports no torch.

entries      ModelEntry and its fields; a new field of a registry is declared here
registry     Registry: models by name, read from a registry file
reading      a registry file's entries one after another, each checked
query        the conditions of a look-up
shelves      where the entries of a registry are kept; those of a small one, in memory
compiled     those of a large one, looked up in its index
compiling    the index of a large registry file, kept in the user's cache
index        the core's own registry.yaml, and the files of the user's registries
merging      the core's, the plugins' and the user's registries as one
sources      the registries that the user added
editing      writing an entry into a registry file, whose comments are kept
differences  what differs between two versions of a registry
schema       JSON Schemas by which an editor checks registries and training files
address      hf://user/repo[@revision]

`zoo_core.catalog` reads them all. (There is no module `zoo_core.registry`: it would hide the function
`zoo_core.registry()`.)
"""

from zoo_core.registries.entries import FileFacts, HubLocation, Metric, ModelEntry, TrainingFacts
from zoo_core.registries.registry import Registry

__all__ = ["FileFacts", "HubLocation", "Metric", "ModelEntry", "Registry", "TrainingFacts"]
