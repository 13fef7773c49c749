"""audio-gan as a plugin of zoo-core.

Every `zoo` command imports this module, so it must not import torch: the classes are named by import strings.
"""

from collections.abc import Iterable

from zoo_core import Architecture, hookimpl

zoo_api = 1  # the version of zoo-core's plugin interface


@hookimpl
def zoo_architectures() -> Iterable[Architecture]:
    return [
        Architecture(
            name="audio-gan",
            summary="GAN of short sounds by their spectrograms (after SpecGAN, Donahue et al., 2018)",
            kind="audio",
            config="zoo_audio_gan.model:AudioGANConfig",
            generator="zoo_audio_gan.model:AudioGANGenerator",
            discriminator="zoo_audio_gan.model:AudioGANDiscriminator",
            trainer="zoo_audio_gan.trainer:AudioGANTrainer",
            paper="https://arxiv.org/abs/1802.04208",
        ),
    ]
