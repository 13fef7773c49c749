"""Files: written so that they appear complete or not at all, and read so that a stranger's file can do no harm.

atomic       a file or a folder under a temporary name, then one rename
digests      sha256 of a file
paths        names of files that must stay inside their folder
strict_json  JSON without repeated keys, NaN or bottomless nesting
strict_yaml  YAML as plain text values, with the line of every error
"""

__all__ = ["atomic", "digests", "paths", "strict_json", "strict_yaml"]
