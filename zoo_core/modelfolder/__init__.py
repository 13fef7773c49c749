"""Model folders: a model on disk. torch is imported only when one is loaded or saved.

layout          the names of the files, and config.json
weights_header  the header of a safetensors file, checked without reading a weight
verifying       files against the sizes and digests in a registry
building        a generator from a stated configuration
loading         a generator from a folder that is checked before a weight is read
weight_loading  stored weights, put into a module on the meta device
weight_transfer stored weights, put into a network that is about to be trained
saving          a folder, complete or not at all
replacing       several files of a folder together, also after a kill
describing      what a folder says about itself, model or run
run_record      run.json, the record of the run that trained a model
card            README.md, the model card
"""

from zoo_core.modelfolder.layout import (
    CARD,
    CONFIG,
    DISCRIMINATOR,
    GOLDEN,
    MODEL_FILES,
    PREVIEW,
    TRAINING,
    WEIGHTS,
    FolderConfig,
    inspect,
    read_config,
)
from zoo_core.modelfolder.loading import load
from zoo_core.modelfolder.saving import save, save_discriminator
from zoo_core.modelfolder.verifying import verify_files

__all__ = [
    "CARD",
    "CONFIG",
    "DISCRIMINATOR",
    "GOLDEN",
    "MODEL_FILES",
    "PREVIEW",
    "TRAINING",
    "WEIGHTS",
    "FolderConfig",
    "inspect",
    "load",
    "read_config",
    "save",
    "save_discriminator",
    "verify_files",
]
