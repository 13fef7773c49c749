"""Settings from the environment, by huggingface_hub's rules: the Hub's address, the cache, offline mode, the token."""

from __future__ import annotations

import os
import urllib.parse
from pathlib import Path

from zoo_core.errors import HubError, SettingsError, ZooError, printable
from zoo_core.files.paths import user_path

SPEED_VARIABLE = "ZOO_HUB_MIN_SPEED"
HUGGING_FACE = "https://huggingface.co"
PORTS = {"http": 80, "https": 443}  # of the schemes that a Hub may have


def endpoint() -> str:
    """Return the address of the Hub: HF_ENDPOINT, or https://huggingface.co."""
    from huggingface_hub import constants

    return str(constants.ENDPOINT)


def is_the_hub(url: str) -> bool:
    """Whether an address has the scheme, the host and the port of the Hub."""
    return is_the_same(url, endpoint())


def is_the_same(url: str, other: str) -> bool:
    """Whether two addresses have the same scheme, host and port."""
    try:
        return _origin(url) == _origin(other)
    except ValueError:  # what should be a port or an IPv6 address is none
        return False


def _origin(url: str) -> tuple[str, str, int | None]:
    parts = urllib.parse.urlsplit(url)
    return parts.scheme.lower(), (parts.hostname or "").lower(), parts.port or PORTS.get(parts.scheme.lower())


def cache_folder() -> Path:
    """Return the cache that all tools of the Hub share: HF_HUB_CACHE, or hub in HF_HOME. It may not exist yet."""
    from huggingface_hub import constants

    return _own_folder(constants.HF_HUB_CACHE)


def state_folder() -> Path:
    """Return the folder, apart from the cache, of what zoo-core records about it. It may not exist yet."""
    from huggingface_hub import constants

    return _own_folder(constants.HF_ASSETS_CACHE) / "zoo-core"


def _own_folder(named: str) -> Path:
    """Return the absolute path of a folder. Raises HubError where it is in the home folder of a user who has none."""
    try:
        return user_path(named).absolute()
    except ZooError:
        raise HubError("the Hub's cache has no place, since this user has no home folder; set HF_HOME=FOLDER") from None


def offline() -> bool:
    """Whether HF_HUB_OFFLINE forbids opening a connection."""
    from huggingface_hub import constants

    return bool(constants.is_offline_mode())


def token() -> str | None:
    """Return the user's token, to see whether there is one and to hide it: HF_TOKEN, or what `hf auth login` saved."""
    from huggingface_hub import get_token

    return get_token()


def download_timeout() -> float:
    """Return the seconds without a byte after which a download is tried again: HF_HUB_DOWNLOAD_TIMEOUT."""
    from huggingface_hub import constants

    return float(constants.HF_HUB_DOWNLOAD_TIMEOUT)


def slowest() -> int:
    """Return the bytes a second below which an answer is given up: ZOO_HUB_MIN_SPEED, 1000 by default, 0 for none.

    Raises:
        SettingsError: where the variable is no number.
    """
    given = os.environ.get(SPEED_VARIABLE, "").strip() or "1000"
    if not given.isdecimal() or len(given) > 12:
        raise SettingsError(f"{SPEED_VARIABLE}: {printable(given, 40)!r} is not a number of bytes a second")
    return int(given)
