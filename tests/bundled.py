"""The models that come with the plugins that are installed, as tests take them."""

import zoo_core

MODELS = [name for name, entry in zoo_core.registry().items() if entry.folder is not None]
DIGITS = [name for name in MODELS if zoo_core.registry()[name].dataset == "mnist"]
