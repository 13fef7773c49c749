"""Registries: which models there are, what is known of each, and where it is. Imports no torch.

entries   ModelEntry and its fields; a new field of a registry is declared here
registry  Registry: models by name, read from a registry.yaml
index     the core's own registry.yaml, and the files of the user's registries
merging   the core's, the plugins' and the user's registries as one
sources   the registries that the user added
editing   writing an entry into a registry.yaml, whose comments are kept
address   hf://user/repo[@revision]

`zoo_core.catalog` reads them all. (There is no module `zoo_core.registry`: it would hide the function
`zoo_core.registry()`.)
"""

from zoo_core.registries.entries import FileFacts, HubLocation, Metric, ModelEntry, TrainingFacts
from zoo_core.registries.registry import Registry

__all__ = ["FileFacts", "HubLocation", "Metric", "ModelEntry", "Registry", "TrainingFacts"]
