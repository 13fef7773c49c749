"""Loading a model folder without trusting it.

config.json and the header of the weights are checked before torch is imported, the model is built on the meta device,
and names, shapes and dtypes are compared before a weight is read.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from zoo_core.errors import DeviceError, ModelFolderError, UnknownArchitectureError, printable
from zoo_core.files.paths import user_path
from zoo_core.modelfolder.building import build, check_class_names, model_config, model_options
from zoo_core.modelfolder.layout import CONFIG, WEIGHTS, inspect
from zoo_core.modelfolder.verifying import verify_files

if TYPE_CHECKING:
    import torch

    from zoo_core.interfaces import Generator
    from zoo_core.registries import FileFacts


def load(
    folder: str | Path,
    *,
    device: str | torch.device = "cpu",
    dtype: torch.dtype | None = None,
    files: Mapping[str, FileFacts] | None = None,
) -> Generator:
    """Load a model folder.

    Args:
        folder: the folder.
        device: the device for the weights: auto, cpu, cuda, cuda:N or mps.
        dtype: the dtype of the floating weights; the model's own by default.
        files: sizes and digests to verify first, as a registry entry states them.

    Returns:
        The generator in eval mode, without gradients. On the CPU its weights stay in the file and are mapped into
        memory: changes to them are not written back, and on Windows the file cannot be replaced while they are in use.

    Raises:
        ModelFolderError: where the folder is not a model, is damaged, or does not fit its configuration.
        UnknownArchitectureError: where no installed plugin provides the architecture.
        PluginError, InterfaceError: where the plugin's classes cannot be used.
        DeviceError: for a device or dtype that cannot be used here.
    """
    folder = user_path(folder)
    if files is not None:
        verify_files(folder, files)
    stated, header = inspect(folder)

    from zoo_core.plugins import manager

    try:
        architecture = manager().architecture(stated.architecture)
    except UnknownArchitectureError as error:
        message = f"{printable(folder / CONFIG)}: {error} (the folder names the plugin {printable(stated.plugin, 80)})"
        raise UnknownArchitectureError(error.name, message, error.plugin) from error
    config = model_config(folder, architecture, stated.config)
    options = model_options(folder, architecture, stated.options)

    from zoo_core.modelfolder import weight_loading
    from zoo_core.runtime.devices import resolve_device
    from zoo_core.runtime.torch_defaults import torch_defaults

    place = resolve_device(str(device))
    if dtype is not None and not dtype.is_floating_point:
        raise DeviceError(f"weights cannot have the dtype {dtype}; give a floating-point dtype")
    with torch_defaults():
        generator = build(folder, architecture, config, stated.sample_shape, "meta")
        check_class_names(folder, stated.class_names, generator.num_classes)
        problem = weight_loading.differences(generator, header)
        if problem is not None:
            raise ModelFolderError(folder / WEIGHTS, f"the weights do not fit the configuration: {problem}")
        generator = weight_loading.fill(
            generator,
            folder / WEIGHTS,
            header,
            rebuild=lambda: build(folder, architecture, config, stated.sample_shape, "cpu"),
            device=place,
            dtype=dtype,
        )
        if stated.class_names:
            generator.class_names = stated.class_names
        if options is not None:
            generator.options = options
        return generator.eval().requires_grad_(False)
