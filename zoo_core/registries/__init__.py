"""Registries: which models there are, what is known of each, and where it is. Imports no torch.

entries   ModelEntry and its fields
registry  Registry: models by name, read from a registry.yaml
index     the core's own registry.yaml, and the user's files
merging   one registry of the core's, the plugins' and the user's
sources   which registries the user added
editing   writing an entry into a registry.yaml, whose comments stay
address   hf://user/repo[@revision]

`zoo_core.catalog` puts them together. (There is no module `zoo_core.registry`: it would hide the function
`zoo_core.registry()`.)
"""

from zoo_core.registries.entries import FileFacts, HubLocation, Metric, ModelEntry, TrainingFacts
from zoo_core.registries.registry import Registry

__all__ = ["FileFacts", "HubLocation", "Metric", "ModelEntry", "Registry", "TrainingFacts"]
