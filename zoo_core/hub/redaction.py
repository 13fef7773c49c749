"""Redaction: text about the Hub without what nobody may read over a shoulder or in a log.

Tokens, passwords in addresses and in the settings of proxies, and the queries of signed addresses are cut out. The
`zoo` command puts everything that it prints through here, tracebacks included.
"""

from __future__ import annotations

import base64
import os
import re
import sys
import urllib.parse
from collections.abc import Iterator

from zoo_core.hub.settings import endpoint

CUT = "***"
_PROXIES = ("http_proxy", "https_proxy", "all_proxy")
_TOKEN_VARIABLES = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN")
_PATTERNS = (
    (re.compile(r"\bhf_[A-Za-z0-9_]{6,}"), CUT),
    (re.compile(r"(?i)(\bauthorization['\"]?\s*[:=]\s*['\"]?)(?:(?:bearer|basic)\s+)?[^\s,'\"]+"), rf"\1{CUT}"),
    (re.compile(r"(?i)\b((?:https?|socks\w*)://)[^\s/?#'\"]*@"), rf"\1{CUT}@"),
    (re.compile(r"(?i)(https?://[^\s?'\"]+)\?[^\s'\"]+"), r"\1"),
)


def redacted(text: str) -> str:
    """Return text without tokens, passwords, and the queries of addresses, which may be signed.

    Example:
        >>> redacted("https://me:secret@hub.example.org/x?sig=1 says hf_abcdefghij")
        'https://***@hub.example.org/x says ***'
    """
    for secret in sorted(_secrets(), key=len, reverse=True):
        text = text.replace(secret, CUT)
    for pattern, instead in _PATTERNS:
        text = pattern.sub(instead, text)
    return text


def holds_secret(text: str) -> bool:
    """Whether text has a token or a password in it."""
    return any(secret in text for secret in _secrets())


def shown_endpoint() -> str:
    """Return the address of the Hub as it may be printed."""
    return redacted(endpoint())


def _secrets() -> Iterator[str]:
    """Give the token, and the passwords in the addresses of the Hub and of proxies, in every form that they take."""
    for name in _TOKEN_VARIABLES:
        yield from _forms(os.environ.get(name, "").strip())
    if "huggingface_hub" in sys.modules:  # else no token was read from the file of `hf auth login`
        from zoo_core.hub.settings import token

        yield from _forms(token() or "")
    addresses = [os.environ.get(name) or os.environ.get(name.upper()) for name in _PROXIES]
    for address in [*addresses, os.environ.get("HF_ENDPOINT")]:
        user, at, _ = (address or "").rpartition("://")[2].rpartition("@")
        if at:
            yield from _forms(user.partition(":")[2] or user)
            yield base64.b64encode(urllib.parse.unquote(user).encode()).decode()


def _forms(secret: str) -> Iterator[str]:
    if len(secret) >= 4:  # a shorter one would cut words to pieces
        plain = urllib.parse.unquote(secret)
        yield from {secret, plain, urllib.parse.quote(plain, safe="")}
