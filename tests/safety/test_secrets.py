"""What is secret is never shown."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rustchain_airflow.safety.secrets import Secrets, belongs_to_airflow, looks_secret, secret_values


@pytest.mark.parametrize(
    "name",
    [
        "PASSWORD",
        "DB_PASSWORD",
        "API_TOKEN",
        "apiKey",
        "OPENAI_API_KEY",
        "AWS_SECRET_ACCESS_KEY",
        "GITHUB_PAT",
        "client-secret",
        "Authorization",
        "BASIC_AUTH",
        "SSH_PASSPHRASE",
        "SESSION_COOKIE",
    ],
)
def test_secret_names(name: str) -> None:
    """Names that say so make their values secret."""
    assert looks_secret(name)


@pytest.mark.parametrize(
    "name",
    ["PWD", "HOME", "KEY", "PUBLIC_KEY", "PRIMARY_KEY", "SORT_KEY", "MONKEY", "PASSAGE", "AUTHOR", "PATH", "KEYBOARD"],
)
def test_plain_names(name: str) -> None:
    """Names that only resemble a secret's do not mask ordinary values."""
    assert not looks_secret(name)


@pytest.mark.parametrize("name", ["AIRFLOW__CORE__FERNET_KEY", "AIRFLOW_CONN_DB", "AIRFLOW_VAR_X", "airflow__core__x"])
def test_airflows_own_variables(name: str) -> None:
    """Airflow's settings, connections and variables are recognised whatever their case."""
    assert belongs_to_airflow(name)
    assert not belongs_to_airflow("AIRFLOW_HOME")


def test_passwords_in_urls_are_found() -> None:
    """An innocent name may hold a URL with a password; the password alone is secret."""
    assert list(secret_values({"DATABASE_URL": "postgresql://me:hunter2@db/x", "PLAIN": "http://x/"})) == ["hunter2"]


def test_short_and_plain_values_are_left_alone() -> None:
    """Masking "no" or "true" everywhere would only make outputs unreadable."""
    secrets = Secrets(["abc", "true", "", "FALSE"])
    assert secrets.mask("abc true FALSE") == "abc true FALSE"


def test_longer_secrets_come_first() -> None:
    """A secret inside another leaves nothing of the longer one behind."""
    assert Secrets(["hunter", "hunter2000"]).mask("x hunter2000 y") == "x *** y"


def test_lines_of_a_long_secret_are_secret() -> None:
    """A private key that is printed line by line is masked line by line."""
    secrets = Secrets(["-----BEGIN KEY-----\nAAAABBBBCCCC\n-----END KEY-----"])
    assert secrets.mask("got AAAABBBBCCCC") == "got ***"


def test_keys_and_depth() -> None:
    """Values and keys are masked at any depth; other types pass."""
    secrets = Secrets(["hunter2"])
    assert secrets.mask_value({"a hunter2": [1, None, {"b": ("hunter2", True)}]}) == {
        "a ***": [1, None, {"b": ["***", True]}]
    }


@given(st.text(min_size=8, max_size=30), st.text(max_size=20), st.text(max_size=20))
def test_no_spelling_of_a_secret_survives(secret: str, before: str, after: str) -> None:
    """As it is, inside JSON, or inside a URL: a secret of eight characters and more is not in the masked text."""
    from urllib.parse import quote

    secrets = Secrets([secret])
    if not secrets.values:
        return
    for text in (
        before + secret + after,
        json.dumps({"k": before + secret + after}),
        json.dumps([secret], ensure_ascii=False),
        f"https://x/?q={quote(secret, safe='')}",
    ):
        masked = secrets.mask(text)
        assert "***" in masked
        if "***" not in secret and secret not in before + after + '{"k": "https://x/?q=***"}':
            assert secret not in masked.replace("***", "\0")
