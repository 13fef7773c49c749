"""RealNVP as a zoo-core plugin. torch is imported only when a model is built."""

from collections.abc import Iterable

from zoo_core import Architecture, hookimpl

zoo_api = 1


@hookimpl
def zoo_architectures() -> Iterable[Architecture]:
    return [
        Architecture(
            name="realnvp",
            summary="Normalising flow of affine coupling layers (Dinh et al., 2016)",
            config="zoo_realnvp.model:RealNVPConfig",
            generator="zoo_realnvp.model:RealNVP",
            trainer="zoo_realnvp.trainer:RealNVPTrainer",
            paper="https://arxiv.org/abs/1605.08803",
        ),
    ]
