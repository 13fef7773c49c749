"""Plugins: what a plugin can provide, and how those of this environment are found. Imports no torch.

hookspecs       the hooks: the whole plugin contract on one screen
plugin_manager  PluginManager, which loads each plugin apart from the others
distributions   where a plugin was installed from; installing and uninstalling
"""

from zoo_core.plugins.plugin_manager import PluginInfo, PluginManager, manager

__all__ = ["PluginInfo", "PluginManager", "manager"]
