"""Secrets in text: however they are written, and those that a text shows by its form."""

import base64
import json
import re
import time
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toolmaster.system import redaction
from toolmaster.system.redaction import (
    Redactor,
    bare_address,
    hide_everywhere,
    is_secret_name,
    redacted,
    redacted_message,
    refuse_credentials,
    secrets_in,
)

SECRET = 'p4ss&w/"rd+% ö'


@pytest.mark.parametrize(
    "written",
    [
        SECRET,
        quote(SECRET),
        quote(SECRET, safe=""),
        quote_plus(SECRET),
        json.dumps(SECRET)[1:-1],
        json.dumps(SECRET, ensure_ascii=False)[1:-1].replace("/", r"\/"),
        "".join(f"\\u{ord(character):04X}" for character in SECRET),
        quote(SECRET, safe="").lower(),
        base64.b64encode(SECRET.encode()).decode(),
        base64.urlsafe_b64encode(SECRET.encode()).decode(),
    ],
)
def test_a_secret_is_found_however_it_is_written(written):
    redactor = Redactor([("KEY", SECRET)])
    assert redactor.text(f"<{written}> {written}") == "<[KEY]> [KEY]"
    assert len(written) <= redactor.longest


@settings(deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=4))
def test_no_secret_stays_in_json(secret):
    shown = Redactor([("KEY", secret)]).text(json.dumps([secret]))
    assert shown == '["[KEY]"]'


@pytest.mark.parametrize("secret", ["\\" * 40 + "b", '"' * 40 + "b", "\\u0061" * 8, "a" * 40])
@pytest.mark.parametrize("character", ["\\", '"', "a", "/"])
def test_a_text_that_is_nearly_a_secret_is_read_in_linear_time(secret, character):
    redactor, began_s = Redactor([("KEY", secret)]), time.process_time()
    assert redactor.text(character * 100_000 + secret).endswith("[KEY]")
    assert time.process_time() - began_s < 20


@pytest.mark.parametrize("text", ["a", "-", "//a", "://", '"a', "@", "?a="])
def test_secrets_are_looked_for_in_linear_time(text):
    began_s = time.process_time()
    list(secrets_in(text * 100_000))
    assert time.process_time() - began_s < 20


def test_a_value_written_in_percent_escapes_is_found_decoded():
    assert Redactor([("KEY", "a%2Fb-c")]).text("a/b-c") == "[KEY]"


def test_values_of_json():
    value = {"abcd": ["x abcd", None, 1.5], "n": "abc"}
    assert Redactor([("K", "abcd")]).value(value) == {"[K]": ["x [K]", None, 1.5], "n": "abc"}


def test_the_longest_secret_wins():
    redactor = Redactor([("A", "token"), ("B", "token-two")])
    assert redactor.text("token token-two") == "[A] [B]"


@pytest.fixture
def everywhere(monkeypatch):
    """Secrets that are hidden everywhere, forgotten after the test."""
    monkeypatch.setattr(redaction, "_everywhere", {})


@pytest.mark.usefixtures("everywhere")
def test_what_is_hidden_everywhere():
    record = {"a": ["key s3cret-key", {"s3cret-key": 1}], "n": None, "none": "none"}
    assert redacted(record) is record
    hide_everywhere([("KEY", "s3cret-key"), ("OTHER", "none")])
    assert redacted(record) == {"a": ["key [KEY]", {"[KEY]": 1}], "n": None, "none": "none"}
    assert redacted_message("C:\\new s3cret-key") == "C:\\new [KEY]"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("at http://me:pass@host/v1?key=abcd&n=1.", "at http://[user]@host/v1?key=[key]&n=1."),
        ("ftp://token@host, //a:b@c", "ftp://[user]@host, //[user]@c"),
        ("mail me@host or see http://host/?q=1", "mail me@host or see http://host/?q=1"),
        ("a b \\ c", "a b \\ c"),
    ],
)
@pytest.mark.usefixtures("everywhere")
def test_messages_show_no_credentials_of_an_address(text, shown):
    assert redacted_message(text) == shown


@pytest.mark.parametrize(
    "text",
    [
        "http://me:pass@host/v1",
        "https://token@host",
        "x.jsonl tools=https://host/api.json?api_key=abc",
        "http://host/?access_token=abc read=get_*",
        "htp://me:pass@host",
    ],
)
def test_credentials_in_addresses_are_refused(text):
    with pytest.raises(ValueError, match="the address holds a secret") as caught:
        refuse_credentials(text)
    assert not {"pass", "abc", "token@"} & set(re.split(r"\W", str(caught.value)))


@pytest.mark.parametrize(
    "text",
    [
        "http://localhost:8000/v1",
        "https://host/api.json auth.bearer=MY_TOKEN auth.query.api_key=VARIABLE",
        "https://host/v1?version=2024-10-21",
        "OWNER/NAME@main",
        "openai:NAME",
        "git@host:a/b",
    ],
)
def test_other_texts_are_not(text):
    refuse_credentials(text)


def test_short_values_say_nothing():
    assert Redactor([("FLAG", "yes")]).text("yes, yes") == "yes, yes"
    assert Redactor([]).text("anything") == "anything"


def test_the_scheme_of_a_header_is_not_part_of_its_secret():
    redactor = Redactor([("Authorization", "Bearer abcd")])
    assert redactor.text("Bearer abcd; abcd") == "[Authorization]; [Authorization]"


@pytest.mark.parametrize(
    ("name", "is_secret"),
    [
        ("GITHUB_TOKEN", True),
        ("--api-key", True),
        ("Authorization", True),
        ("DB_PASSWORD", True),
        ("max_tokens", False),
        ("TOKENIZERS_PARALLELISM", False),
        ("keyboard", False),
        ("HOME", False),
    ],
)
def test_names_of_secrets(name, is_secret):
    assert is_secret_name(name) is is_secret


@pytest.mark.parametrize(
    ("text", "secrets"),
    [
        ("https://me:pass1@h/x", ["pass1", base64.b64encode(b"me:pass1").decode()]),
        ("https://token@h/x", ["token"]),
        ("ssh://deploy@h/x", []),
        ("https://h/x?page=2&api_key=abcd#f", ["abcd"]),
        ('{"token": "abcd", "name": "n"}', ["abcd"]),
        ("--api-key=abcd", ["abcd"]),
        ("--env=MY_TOKEN=abcd", ["abcd"]),
        ("X-Api-Key: abcd", ["abcd"]),
        ("https://h/x?page=2", []),
        ("--name=value", []),
    ],
)
def test_secrets_that_a_text_shows(text, secrets):
    assert [value for _, value in secrets_in(text)] == secrets


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://me:pw@h.example:8080/v1/x?key=k#f", "https://h.example:8080/v1/x"),
        ("https://h/0123456789abcdef0123/mcp", "https://h/.../mcp"),
        ("https://[h/x", "..."),
    ],
)
def test_addresses_as_they_may_be_shown(url, shown):
    assert bare_address(url) == shown
