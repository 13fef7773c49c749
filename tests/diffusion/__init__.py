"""A small diffusion model as a stranger writes it: options, states and noise. Tests install it as a plugin."""

from zoo_core import Architecture, hookimpl


@hookimpl
def zoo_architectures():
    return [
        Architecture(
            name="diffusion",
            summary="A small diffusion model",
            config=f"{__name__}.model:DiffusionConfig",
            generator=f"{__name__}.model:DiffusionGenerator",
            trainer=f"{__name__}.model:DiffusionTrainer",
        )
    ]
