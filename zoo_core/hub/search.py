"""Search: models on the Hub that zoo-core can load, page by page."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from zoo_core.hub import rest
from zoo_core.hub.errors import HubResource
from zoo_core.modelfolder.card import LIBRARY, LICENSE, REQUIREMENTS


@dataclass(frozen=True)
class SearchResult:
    """A model on the Hub, as its card describes it. Nothing of this is verified.

    Attributes:
        architecture, plugin: what the model needs, where its card states it.
    """

    repo: str
    architecture: str | None
    plugin: str | None
    downloads: int
    license: str | None
    gated: bool


def search(text: str, *, limit: int = 20) -> Iterator[SearchResult]:
    """Find models whose repository has `text` in its name. The next page is requested only when it is needed.

    Raises:
        HubError: where the Hub refuses.
        UnreachableError: where it does not answer.
    """
    params = {"filter": LIBRARY, "full": "true", "cardData": "true"} | ({"search": text} if text else {})
    models = (_result(model) for model in rest.pages(HubResource(), "/api/models", params))
    yield from itertools.islice((model for model in models if model is not None), limit)


def _result(model: dict[str, Any]) -> SearchResult | None:
    """Return what an item of the list says; None where it names no repository. A card may say anything."""
    repo, downloads = _text(model.get("id")) or _text(model.get("modelId")), model.get("downloads")
    if repo is None:
        return None
    card = _mapping(model.get("cardData"))
    requirements = _mapping(card.get(REQUIREMENTS))
    return SearchResult(
        repo=repo,
        architecture=_text(requirements.get("architecture")),
        plugin=_text(requirements.get("plugin")),
        downloads=downloads if isinstance(downloads, int) else 0,
        license=_text(card.get(LICENSE)),
        gated=bool(model.get("gated")),
    )


def _mapping(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None
