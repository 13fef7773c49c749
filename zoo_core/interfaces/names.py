"""Names of architectures, extractors, kinds and plugins: their form, and when two of them are the same."""

from __future__ import annotations

import re

CORE_KINDS = ("image", "audio", "text", "tensor")  # what every zoo-core can read, write and show
ARCHITECTURE_NAME = re.compile(r"[a-z0-9][a-z0-9_-]*")
SUFFIX = re.compile(r"/|(\.[a-z0-9_-]+)+")  # of an output, in lower case; "/" is a folder


def canonical_name(name: str) -> str:
    """Return the form in which names are compared, that of PEP 503: lower case, with `-` for `-`, `_` and `.`.

    Example:
        >>> canonical_name("Vanilla_GAN")
        'vanilla-gan'
    """
    return re.sub(r"[-_.]+", "-", name).lower()
