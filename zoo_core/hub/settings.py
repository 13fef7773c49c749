"""Settings from the environment, by huggingface_hub's rules: the Hub's address, the cache, offline mode, the token."""

from __future__ import annotations

from pathlib import Path

from zoo_core.errors import HubError


def endpoint() -> str:
    """Return the address of the Hub: HF_ENDPOINT, or https://huggingface.co."""
    from huggingface_hub import constants

    return str(constants.ENDPOINT)


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
        return Path(named).expanduser().absolute()
    except RuntimeError:
        raise HubError("the Hub's cache has no place, since this user has no home folder; set HF_HOME=FOLDER") from None


def offline() -> bool:
    """Whether HF_HUB_OFFLINE forbids opening a connection."""
    from huggingface_hub import constants

    return bool(constants.is_offline_mode())


def token() -> str | None:
    """Return the user's token, to see whether there is one and to hide it: HF_TOKEN, or what `hf auth login` saved."""
    from huggingface_hub import get_token

    return get_token()
