"""Interfaces: what a plugin's classes implement, and what it registers.

config          Config, validated however it is made, and ModelConfig, the hyperparameters of one model
assignments     key=value onto the fields of a configuration, also of a nested one
config_values   which values a configuration accepts, and which of them suits the data
settings        Settings of a training run
stage           Stage, a part of a run with steps, settings and trained networks of its own
schedules       learning-rate schedules by name
architecture    Architecture: the classes of a kind of model by import string, resolved at first use
generator       Generator, and Encoder for models that also encode
unit_range      whether to_unit and from_unit match, and whether samples are in the public range
discriminator   Discriminator
options         SamplingOptions, the choices at sampling time, and what a caller chooses of them
option_facts    the values, bounds and descriptions of options, for people
kind            Kind: how samples of one kind are read, written and shown
trainer         Trainer, and Batch, the input of a training step
parent          Parent, the model whose weights a run starts from
extractor       FeatureExtractor, a network in whose features samples are measured
names           how the names of architectures, extractors and plugins are written and compared
import_strings  package.module:Name
plugin_output   what plugins print, kept off stdout
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from zoo_core._lazy import lazy_names

if TYPE_CHECKING:
    from zoo_core.interfaces.architecture import Architecture as Architecture
    from zoo_core.interfaces.config import Config as Config
    from zoo_core.interfaces.config import ModelConfig as ModelConfig
    from zoo_core.interfaces.discriminator import Discriminator as Discriminator
    from zoo_core.interfaces.extractor import FeatureExtractor as FeatureExtractor
    from zoo_core.interfaces.generator import Encoder as Encoder
    from zoo_core.interfaces.generator import Generator as Generator
    from zoo_core.interfaces.generator import Noise as Noise
    from zoo_core.interfaces.kind import Kind as Kind
    from zoo_core.interfaces.options import SamplingOptions as SamplingOptions
    from zoo_core.interfaces.parent import Parent as Parent
    from zoo_core.interfaces.settings import Settings as Settings
    from zoo_core.interfaces.stage import Stage as Stage
    from zoo_core.interfaces.trainer import Batch as Batch
    from zoo_core.interfaces.trainer import Trainer as Trainer

_HOMES = {
    "Architecture": "zoo_core.interfaces.architecture",
    "Batch": "zoo_core.interfaces.trainer",
    "Config": "zoo_core.interfaces.config",
    "Discriminator": "zoo_core.interfaces.discriminator",
    "Encoder": "zoo_core.interfaces.generator",
    "FeatureExtractor": "zoo_core.interfaces.extractor",
    "Generator": "zoo_core.interfaces.generator",
    "Kind": "zoo_core.interfaces.kind",
    "ModelConfig": "zoo_core.interfaces.config",
    "Parent": "zoo_core.interfaces.parent",
    "SamplingOptions": "zoo_core.interfaces.options",
    "Noise": "zoo_core.interfaces.generator",
    "Settings": "zoo_core.interfaces.settings",
    "Stage": "zoo_core.interfaces.stage",
    "Trainer": "zoo_core.interfaces.trainer",
}

__all__ = sorted(_HOMES)
__getattr__, __dir__ = lazy_names(__name__, _HOMES)
