"""Settings from the environment, by huggingface_hub's rules: the Hub's address, the cache, offline mode, the token."""

from __future__ import annotations

from pathlib import Path

from zoo_core.files.paths import user_path


def endpoint() -> str:
    """Return the address of the Hub: HF_ENDPOINT, or https://huggingface.co."""
    from huggingface_hub import constants

    return str(constants.ENDPOINT)


def cache_folder() -> Path:
    """Return the cache that all tools of the Hub share: HF_HUB_CACHE, or hub in HF_HOME. It may not exist yet."""
    from huggingface_hub import constants

    return user_path(constants.HF_HUB_CACHE).absolute()


def state_folder() -> Path:
    """Return the folder, apart from the cache, of what zoo-core records about it. It may not exist yet."""
    from huggingface_hub import constants

    return user_path(constants.HF_ASSETS_CACHE).absolute() / "zoo-core"


def offline() -> bool:
    """Whether HF_HUB_OFFLINE forbids opening a connection."""
    from huggingface_hub import constants

    return bool(constants.is_offline_mode())


def token() -> str | None:
    """Return the user's token, to see whether there is one and to hide it: HF_TOKEN, or what `hf auth login` saved."""
    from huggingface_hub import get_token

    return get_token()
