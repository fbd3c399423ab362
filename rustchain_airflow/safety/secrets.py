"""Which values are secret, and how they are kept out of everything that is shown (semantics §8.4)."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final
from urllib.parse import quote, quote_plus, urlsplit

MASK: Final = "***"

SHORTEST: Final = 4
"""Characters a value needs to be masked: masking "no" or "1" would only make outputs unreadable."""

_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
_SECRET_WORDS: Final = frozenset(
    [
        "password",
        "passwd",
        "passphrase",
        "passcode",
        "secret",
        "secrets",
        "token",
        "tokens",
        "apikey",
        "credential",
        "credentials",
        "authorization",
        "dsn",
        "signature",
        "cookie",
        "cookies",
    ]
)
_SECRET_LAST_WORDS: Final = frozenset({"auth", "key", "keys", "pass", "pat", "pwd"})
_PUBLIC_KEYS: Final = frozenset({"public", "primary", "foreign", "sort", "group", "cache", "partition"})
_PLAIN_VALUES: Final = frozenset({"true", "false", "none", "null", "default", "disabled", "enabled"})

_HOST_VARIABLE = re.compile(r"AIRFLOW__|AIRFLOW_(CONN|VAR)_")


def looks_secret(name: str) -> bool:
    """Whether the name of an environment variable or a parameter says that its value is secret."""
    words = [word.lower() for word in _WORD.findall(name)]
    if len(words) > 1 and words[-1] in _SECRET_LAST_WORDS and words[-2] not in _PUBLIC_KEYS:
        return True
    return not _SECRET_WORDS.isdisjoint(words)


def secret_values(environment: Mapping[str, str]) -> Iterator[str]:
    """The values of an environment that must never be shown: by name, and passwords inside URLs."""
    for name, value in environment.items():
        if looks_secret(name) or (belongs_to_airflow(name) and "CONN" in name.upper()):
            yield value
        elif "://" in value and (password := password_of(value)):
            yield password


def belongs_to_airflow(name: str) -> bool:
    """Environment variables that missions may never read: Airflow's settings, connections and variables."""
    return _HOST_VARIABLE.match(name.upper()) is not None


def password_of(url: str) -> str | None:
    """The password inside a URL, when it has one."""
    try:
        return urlsplit(url).password
    except ValueError:
        return None


class Secrets:
    """The secret values of one run; masks them in text and in JSON values. Safe to share between threads."""

    def __init__(self, values: Iterable[str] = ()) -> None:
        self._values: set[str] = set()
        self._pattern: re.Pattern[str] | None = None
        for value in values:
            self.add(value)

    @property
    def values(self) -> frozenset[str]:
        return frozenset(self._values)

    def add(self, value: str) -> None:
        """Mask a value from here on, also as it appears inside JSON and URLs."""
        if len(value) < SHORTEST or value.lower() in _PLAIN_VALUES or value in self._values:
            return
        self._values = {*self._values, value}
        spellings = {
            spelling
            for secret in self._values
            for spelling in (
                secret,
                json.dumps(secret)[1:-1],
                json.dumps(secret, ensure_ascii=False)[1:-1],
                quote(secret, safe=""),
                quote_plus(secret),
                *(line for line in secret.splitlines() if len(line) >= 2 * SHORTEST),
            )
        }
        self._pattern = re.compile("|".join(map(re.escape, sorted(spellings, key=len, reverse=True))))

    def mask(self, text: str) -> str:
        return self._pattern.sub(MASK, text) if self._pattern else text

    def mask_value(self, value: Any) -> Any:
        """A JSON value with every secret in its strings and keys masked."""
        if self._pattern is None:
            return value
        if isinstance(value, str):
            return self.mask(value)
        if isinstance(value, Mapping):
            return {self.mask(str(key)): self.mask_value(item) for key, item in value.items()}
        if isinstance(value, (list, tuple)):
            return [self.mask_value(item) for item in value]
        return value
