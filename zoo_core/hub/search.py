"""Search: models on the Hub that zoo-core can load, page by page."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from zoo_core.hub import client
from zoo_core.hub.errors import HubResource
from zoo_core.hub.retrying import attempt
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
    the_hub = HubResource()
    models = attempt(
        the_hub,
        lambda: iter(client.api().list_models(filter=LIBRARY, search=text or None, cardData=True, full=True)),
    )

    def following() -> Any:
        return next(models, None)

    for _ in itertools.repeat(None, limit):
        # A generator that failed has ended, so a page that failed cannot be requested again.
        model = attempt(the_hub, following, attempts=1)
        if model is None:
            return
        yield _result(model)


def _result(model: Any) -> SearchResult:
    card = model.card_data.to_dict() if model.card_data is not None else {}
    stated = card.get(REQUIREMENTS)
    requirements = stated if isinstance(stated, dict) else {}
    return SearchResult(
        repo=str(model.id),
        architecture=_text(requirements.get("architecture")),
        plugin=_text(requirements.get("plugin")),
        downloads=int(model.downloads or 0),
        license=_text(card.get(LICENSE)),
        gated=bool(model.gated),
    )


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None
