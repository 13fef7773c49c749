"""Files: written so that they appear complete or not at all, and read so that a stranger's file can do no harm.

atomic             a file or a folder under a temporary name, then one rename
conversion_errors  the field that a failed conversion of msgspec is about
digests            the sha256 of a file
folders            the user's folders for settings and for caches
json_stream        JSON that is read in parts
locks              locks between processes
paths              paths that a user gives, and relative ones that must stay inside their folder
sizes              sizes in bytes for people to read
strict_json        JSON without repeated keys, NaN or excessive nesting
strict_yaml        YAML as plain text values, with the line of every error
utf8_names         names for libraries that take only UTF-8
verified_digests   the sha256 of files that were read before, so that a second check is cheap
"""

__all__ = [
    "atomic",
    "conversion_errors",
    "digests",
    "folders",
    "json_stream",
    "locks",
    "paths",
    "sizes",
    "strict_json",
    "strict_yaml",
    "utf8_names",
    "verified_digests",
]
