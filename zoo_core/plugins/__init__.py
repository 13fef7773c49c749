"""Plugins: what a plugin can provide, and how those of this environment are found. Imports no torch.

hookspecs       the hooks: the whole plugin contract on one screen
loading         entry points, and one of them into a PluginInfo and its hooks
names           names that two plugins claim, or that belong to another
commands        the commands that plugins add to `zoo`
plugin_manager  PluginManager, the plugins of an environment together
distributions   where a plugin was installed from; installing and uninstalling
"""

from zoo_core.plugins.commands import PluginCommands
from zoo_core.plugins.loading import PluginInfo
from zoo_core.plugins.plugin_manager import PluginManager, manager

__all__ = ["PluginCommands", "PluginInfo", "PluginManager", "manager"]
