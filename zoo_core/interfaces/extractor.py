"""FeatureExtractor: a network in whose features samples are measured, and those of the core. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass

from zoo_core.errors import PluginError
from zoo_core.interfaces.import_strings import is_import_string
from zoo_core.interfaces.names import ARCHITECTURE_NAME, canonical_name


@dataclass(frozen=True, kw_only=True)
class FeatureExtractor:
    """A network that turns samples into features, on which FID and related metrics are computed.

    Figures of different extractors, or of different versions of one, cannot be compared: any change that affects a
    feature (weights, size, resizing, normalisation) makes a new version.

    What the network is given depends on the kind of samples:

    - image: pictures (N, C, H, W), uint8 from 0 to 255, of any size;
    - audio: sounds (N, C, L), float32 in [-1, 1], of any length, at `sample_rate`, to which the core brings them;
    - text: codes (N, L), int64, as the model has them;
    - any other kind: what `Generator.sample` returns.

    Args:
        name: lower-case letters, digits, `-` and `_`; `-` and `_` compare equal.
        version: a whole number from 1.
        summary: one line.
        network: import string `package.module:function`. The function is called once, as `function(weights)`, with the
            path of the weights file, or None if there is none. It returns a torch.nn.Module in eval mode that maps
            samples, as above, to features (N, dimensions), float32.
        dimensions: number of features per sample.
        kinds: the kinds of samples that the network takes.
        channels: numbers of channels C that the network takes: 1 for grey, 3 for colour; for sounds 1 for mono, 2 for
            stereo. An extractor of pictures must state them; for other kinds, empty means any.
        sample_rate: the rate in Hz of the sounds that the network takes, which an extractor of sounds must state.
        resizing: how samples are brought to the network's size, in a few words; "none" if they are taken as they are.
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
    kinds: tuple[str, ...] = ("image",)
    channels: tuple[int, ...] = ()
    sample_rate: int | None = None
    resizing: str = "none"
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
        if isinstance(self.kinds, str) or not self.kinds or not all(map(_is_name, self.kinds)):
            raise PluginError(
                f"extractor {self.name}: kinds must be names of kinds of samples, as ('audio',), not {self.kinds!r}"
            )
        if self.takes("image") and (not self.channels or not set(self.channels) <= {1, 3}):
            raise PluginError(f"extractor {self.name}: channels must be of 1 and 3, not {self.channels!r}")
        if not all(type(count) is int and count > 0 for count in self.channels):
            raise PluginError(f"extractor {self.name}: channels must be whole numbers from 1, not {self.channels!r}")
        self._check_sample_rate()

    def _check_sample_rate(self) -> None:
        rate = self.sample_rate
        if rate is not None and (isinstance(rate, bool) or not isinstance(rate, int) or rate < 1):
            raise PluginError(f"extractor {self.name}: sample_rate must be a whole number of Hz, not {rate!r}")
        if self.takes("audio") != (rate is not None):
            raise PluginError(
                f"extractor {self.name}: "
                + ("state the sample_rate of the sounds that it takes" if rate is None else "only sounds have a rate")
            )

    def takes(self, kind: str) -> bool:
        """Return whether the network takes samples of a kind.

        Example:
            >>> extractor.takes("image"), extractor.takes("audio")
            (True, False)
        """
        return canonical_name(kind) in map(canonical_name, self.kinds)

    @property
    def title(self) -> str:
        """The name and version, for messages.

        Example:
            >>> extractor.title
            'faces version 2'
        """
        return f"{self.name} version {self.version}"


def _is_name(kind: object) -> bool:
    return isinstance(kind, str) and ARCHITECTURE_NAME.fullmatch(kind) is not None


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
        name="spoken-digits",
        version=1,
        summary="A small classifier of spoken digits for short sounds, bundled",
        network="zoo_core.metrics.extractors.spoken_digits:load",
        dimensions=64,
        kinds=("audio",),
        channels=(1,),
        sample_rate=16_000,
        resizing="resampled to 16,000 Hz, zeros on both sides up to 8,192 samples",
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

# The extractor of a kind where none is named; of any other kind, the only one that takes it.
DEFAULT_EXTRACTORS = {"image": "digits", "audio": "spoken-digits"}
