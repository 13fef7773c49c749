"""Models on the Hub that zoo-core can load, page by page."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from zoo_core.hub import client
from zoo_core.hub.client import Subject

LIBRARY = "zoo-core"


@dataclass(frozen=True)
class Found:
    """A model on the Hub, as its card describes it; nothing of it is verified.

    Attributes:
        architecture, plugin: what it needs, where its card says so.
    """

    repo: str
    architecture: str | None
    plugin: str | None
    downloads: int
    license: str | None
    gated: bool


def search(text: str, *, limit: int = 20) -> Iterator[Found]:
    """Models whose repository's name has `text` in it. Asks for the next page only when it is needed.

    Raises:
        HubError, UnreachableError.
    """
    subject = Subject()
    models = client.attempt(
        subject,
        lambda: iter(client.api().list_models(filter=LIBRARY, search=text or None, cardData=True, full=True)),
    )

    def following() -> Any:
        return next(models, None)

    for _ in itertools.repeat(None, limit):
        # A generator that failed has ended, so a failing page is not asked for again.
        model = client.attempt(subject, following, attempts=1)
        if model is None:
            return
        yield _found(model)


def _found(model: Any) -> Found:
    card = model.card_data.to_dict() if model.card_data is not None else {}
    needs = card.get("zoo")
    needs = needs if isinstance(needs, dict) else {}
    return Found(
        repo=str(model.id),
        architecture=_text(needs.get("architecture")),
        plugin=_text(needs.get("plugin")),
        downloads=int(model.downloads or 0),
        license=_text(card.get("license")),
        gated=bool(model.gated),
    )


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None
