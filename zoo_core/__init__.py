"""zoo-core: a plugin-based model zoo for generative models.

Everything public is here, besides the modules `zoo_core.errors`, `losses`, `conditioning`, `streams` and `testing`.
Names are imported at first use (PEP 562), so that `import zoo_core` and registry look-ups do not import torch.

Example:
    >>> import zoo_core as zoo
    >>> generator = zoo.load("vae-mlp-mnist", device="cpu")
    >>> generator.sample(16, seed=0).shape
    torch.Size([16, 1, 28, 28])
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from zoo_core._lazy import lazy_names
from zoo_core._version import __version__ as __version__

if TYPE_CHECKING:
    from zoo_core.catalog import list_models as list_models
    from zoo_core.catalog import registry as registry
    from zoo_core.data.source import DataSource as DataSource
    from zoo_core.data.training_data import TrainingData as TrainingData
    from zoo_core.errors import HubError as HubError
    from zoo_core.errors import MetricError as MetricError
    from zoo_core.errors import RegistryError as RegistryError
    from zoo_core.errors import UnknownModelError as UnknownModelError
    from zoo_core.errors import ZooError as ZooError
    from zoo_core.hub.push import push as push
    from zoo_core.interfaces import Architecture as Architecture
    from zoo_core.interfaces import Batch as Batch
    from zoo_core.interfaces import Discriminator as Discriminator
    from zoo_core.interfaces import Encoder as Encoder
    from zoo_core.interfaces import FeatureExtractor as FeatureExtractor
    from zoo_core.interfaces import Generator as Generator
    from zoo_core.interfaces import Kind as Kind
    from zoo_core.interfaces import ModelConfig as ModelConfig
    from zoo_core.interfaces import Noise as Noise
    from zoo_core.interfaces import Parent as Parent
    from zoo_core.interfaces import SamplingOptions as SamplingOptions
    from zoo_core.interfaces import Settings as Settings
    from zoo_core.interfaces import Stage as Stage
    from zoo_core.interfaces import Trainer as Trainer
    from zoo_core.metrics.evaluation import evaluate as evaluate
    from zoo_core.models import load as load
    from zoo_core.models import pull as pull
    from zoo_core.plugins.hookspecs import hookimpl as hookimpl
    from zoo_core.registries import ModelEntry as ModelEntry
    from zoo_core.registries import Registry as Registry
    from zoo_core.training.gan import GANSettings as GANSettings
    from zoo_core.training.gan import GANTrainer as GANTrainer

_HOMES = {
    "Architecture": "zoo_core.interfaces.architecture",
    "Batch": "zoo_core.interfaces.trainer",
    "DataSource": "zoo_core.data.source",
    "Discriminator": "zoo_core.interfaces.discriminator",
    "Encoder": "zoo_core.interfaces.generator",
    "FeatureExtractor": "zoo_core.interfaces.extractor",
    "GANSettings": "zoo_core.training.gan",
    "GANTrainer": "zoo_core.training.gan",
    "Generator": "zoo_core.interfaces.generator",
    "HubError": "zoo_core.errors",
    "MetricError": "zoo_core.errors",
    "Kind": "zoo_core.interfaces.kind",
    "ModelConfig": "zoo_core.interfaces.config",
    "ModelEntry": "zoo_core.registries",
    "Noise": "zoo_core.interfaces.generator",
    "Registry": "zoo_core.registries",
    "RegistryError": "zoo_core.errors",
    "Parent": "zoo_core.interfaces.parent",
    "SamplingOptions": "zoo_core.interfaces.options",
    "Settings": "zoo_core.interfaces.settings",
    "Stage": "zoo_core.interfaces.stage",
    "Trainer": "zoo_core.interfaces.trainer",
    "TrainingData": "zoo_core.data.training_data",
    "UnknownModelError": "zoo_core.errors",
    "ZooError": "zoo_core.errors",
    "evaluate": "zoo_core.metrics.evaluation",
    "hookimpl": "zoo_core.plugins.hookspecs",
    "list_models": "zoo_core.catalog",
    "load": "zoo_core.models",
    "pull": "zoo_core.models",
    "push": "zoo_core.hub.push",
    "registry": "zoo_core.catalog",
}

__all__ = sorted(_HOMES)
__getattr__, __dir__ = lazy_names(__name__, _HOMES)
