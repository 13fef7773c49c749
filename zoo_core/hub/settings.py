"""Where the Hub and its cache are, and who asks: what the environment says, by huggingface_hub's rules."""

from __future__ import annotations

from pathlib import Path


def endpoint() -> str:
    """The address of the Hub: HF_ENDPOINT."""
    from huggingface_hub import constants

    return str(constants.ENDPOINT)


def cache_folder() -> Path:
    """The cache that every tool of the Hub shares: HF_HUB_CACHE, or hub in HF_HOME. Perhaps not there yet."""
    from huggingface_hub import constants

    return Path(constants.HF_HUB_CACHE).expanduser().absolute()


def state_folder() -> Path:
    """Where zoo-core keeps what it knows of the cache, apart from it. Perhaps not there yet."""
    from huggingface_hub import constants

    return Path(constants.HF_ASSETS_CACHE).expanduser().absolute() / "zoo-core"


def offline() -> bool:
    """Whether HF_HUB_OFFLINE forbids to open a connection."""
    from huggingface_hub import constants

    return bool(constants.is_offline_mode())


def token() -> str | None:
    """The user's token: HF_TOKEN, or the one that `hf auth login` saved. For whether there is one, and to hide it."""
    from huggingface_hub import get_token

    return get_token()
