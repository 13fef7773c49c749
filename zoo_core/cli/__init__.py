"""The command `zoo`: one module a command, imported when it is called.

group       `zoo` itself: its table of commands, and errors as one line
options     options that several commands share
completion  names that a shell completes
messages    columns, facts and JSON on stdout; problems on stderr
opening     the model that a command works with
progress    progress bars for downloads
standard_output  samples on stdout
working     a bar for any other work that takes longer than a second
folder_facts  what a folder says about itself, in lines and in JSON
availability  whether a model can be used here

Every other module is the command of its name (`zoo list` is list_models, `zoo eval` is evaluate).
"""

from zoo_core.cli.group import COMMANDS, main

__all__ = ["COMMANDS", "main"]
