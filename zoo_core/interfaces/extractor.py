"""FeatureExtractor: a network in whose features samples are measured, and those of the core. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass

from zoo_core.errors import PluginError
from zoo_core.interfaces.import_strings import is_import_string
from zoo_core.interfaces.names import ARCHITECTURE_NAME


@dataclass(frozen=True, kw_only=True)
class FeatureExtractor:
    """A network that turns pictures into features, on which FID and related metrics are computed.

    Figures of different extractors, or of different versions of one, cannot be compared: any change that affects a
    feature (weights, size, resizing, normalisation) makes a new version.

    Args:
        name: lower-case letters, digits, `-` and `_`; `-` and `_` compare equal.
        version: a whole number from 1.
        summary: one line.
        network: import string `package.module:function`. The function is called once, as `function(weights)`, with the
            path of the weights file, or None if there is none. It returns a torch.nn.Module in eval mode that maps
            pictures (N, C, H, W), uint8 from 0 to 255 and of any size, to features (N, dimensions), float32.
        dimensions: number of features per picture.
        channels: numbers of channels C that the network takes: 1 for grey, 3 for colour.
        resizing: how pictures are brought to the network's size, in a few words.
        weights_variable: environment variable that names the weights file, for an extractor that does not bundle one;
            None for one that does.
        weights_source: where to get that file, as the end of a sentence.
        paper: URL of the paper.

    Raises:
        PluginError: if a value is malformed.

    Example:
        >>> extractor = FeatureExtractor(
        ...     name="faces",
        ...     version=2,
        ...     summary="A face recognition network",
        ...     network="zoo_faces.network:load",
        ...     dimensions=512,
        ...     channels=(3,),
        ...     resizing="bilinear to 112 x 112",
        ... )
    """

    name: str
    version: int
    summary: str
    network: str
    dimensions: int
    channels: tuple[int, ...]
    resizing: str
    weights_variable: str | None = None
    weights_source: str | None = None
    paper: str | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not ARCHITECTURE_NAME.fullmatch(self.name):
            raise PluginError(f"extractor name {self.name!r} is not of the form {ARCHITECTURE_NAME.pattern}")
        for field in ("version", "dimensions"):
            value = getattr(self, field)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise PluginError(f"extractor {self.name}: {field} must be a whole number from 1, not {value!r}")
        if not is_import_string(self.network):
            raise PluginError(f"extractor {self.name}: network must be 'package.module:function', not {self.network!r}")
        if not self.channels or not set(self.channels) <= {1, 3}:
            raise PluginError(f"extractor {self.name}: channels must be of 1 and 3, not {self.channels!r}")

    @property
    def title(self) -> str:
        """The name and version, for messages.

        Example:
            >>> extractor.title
            'faces version 2'
        """
        return f"{self.name} version {self.version}"


CORE_EXTRACTORS = (
    FeatureExtractor(
        name="digits",
        version=1,
        summary="A small classifier of MNIST for grey digits, bundled",
        network="zoo_core.metrics.extractors.digits:load",
        dimensions=64,
        channels=(1,),
        resizing="antialiased bilinear to 28 x 28",
    ),
    FeatureExtractor(
        name="random-vgg",
        version=1,
        summary="A VGG with fixed random weights, for pictures of any kind; needs no weights file",
        network="zoo_core.metrics.extractors.random_vgg:load",
        dimensions=64,
        channels=(1, 3),
        resizing="antialiased bilinear to 64 x 64, grey as three equal channels",
        paper="https://arxiv.org/abs/2002.09797",
    ),
    FeatureExtractor(
        name="efficientnet-lite0",
        version=1,
        summary="EfficientNet-lite0, trained on ImageNet, for colour pictures; needs the extra semantic",
        network="zoo_core.metrics.extractors.efficientnet:load",
        dimensions=1280,
        channels=(1, 3),
        resizing="antialiased bilinear to 224 x 224, grey as three equal channels",
        paper="https://arxiv.org/abs/1905.11946",
    ),
    FeatureExtractor(
        name="inception-v3",
        version=1,
        summary="The Inception network of FID, with the weights of 2015-12-05; needs a weights file",
        network="zoo_core.metrics.extractors.inception:load",
        dimensions=2048,
        channels=(1, 3),
        resizing="bilinear of TensorFlow 1 to 299 x 299, grey as three equal channels",
        weights_variable="ZOO_INCEPTION_WEIGHTS",
        weights_source="the file pt_inception-2015-12-05-6726825d.pth of pytorch-fid or "
        "weights-inception-2015-12-05-6726825d.pth of torch-fidelity, or the same tensors in safetensors",
        paper="https://arxiv.org/abs/1706.08500",
    ),
)
