"""Replaces secrets in text by their names in brackets: `token abc123` becomes `token [API_KEY]`."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Any
from urllib.parse import quote, quote_plus, unquote, unquote_plus, urlsplit

MIN_CHARS = 4
"""Shorter values (`1`, `yes`) are not replaced, because they occur everywhere."""
_MIN_CHARS_EVERYWHERE = 8
"""The same for `hide_everywhere`: keys such as `none` and `test` are no secrets."""

_SECRET_NAME = re.compile(
    r"secret|passw|credential|authorization|cookie|token(?!iz|s)|(?:api|access|private).?key"
    r"|(?<![a-z])(?:keys?|auth|bearer|dsn|pass|pat)(?![a-z])|_pwd(?![a-z])",
    re.IGNORECASE,
)
_USER = re.compile(r"(?<![a-z])([a-z]*):?//([^/?#\s@]+)@")
_PARAMETER = re.compile(r"[?&;#\s]([\w.-]+)=([^&;#\s]+)")
_ADDRESS = re.compile(r"(?<!\w)\w*:?//\S+")
_IN_JSON = re.compile(r'"([\w.-]+)\\*"\s*:\s*\\*"([^"\\]+)')
_NAMED = re.compile(r"-*+([\w-]+?)\s*[=:]\s*(.+)", re.DOTALL)


class Redactor:
    """Replaces known secrets by their names, in every encoding.

    Secrets are found as given, percent-encoded or decoded, and with the escapes of JSON. Values
    shorter than `MIN_CHARS` are left alone.

    Args:
        secrets: Pairs of a name, shown in place of the secret, and the secret.

    Example:
        >>> Redactor([("API_KEY", "ab/cd")]).text("GET /?key=ab%2Fcd")
        'GET /?key=[API_KEY]'
    """

    def __init__(self, secrets: Iterable[tuple[str, str]]) -> None:
        names = {form: name for name, value in secrets for form in _forms(name, value)}
        self._forms = forms = sorted(
            (f for f in names if len(f) >= MIN_CHARS), key=len, reverse=True
        )
        self._names = [names[form] for form in forms]
        either = (f"({re.escape(form)}|{''.join(map(_in_json, form))})" for form in forms)
        self._pattern = re.compile("|".join(either))
        self.longest = max(map(len, forms), default=0) * len(r"\u0000")
        """The most characters of a secret in its longest encoding."""

    def text(self, text: str) -> str:
        """Return `text` with every secret replaced by its name in brackets."""
        escaped = "\\" in text and self._forms
        if not escaped and not any(form in text for form in self._forms):
            return text
        return self._pattern.sub(lambda match: f"[{self._names[(match.lastindex or 1) - 1]}]", text)

    def value(self, value: Any) -> Any:
        """Return a JSON value with the secrets in its strings and keys replaced."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, list | tuple):
            return [self.value(item) for item in value]
        if isinstance(value, dict):
            return {self.text(key): self.value(item) for key, item in value.items()}
        return value


_everywhere: dict[str, str] = {}
"""Every secret that this process was given, with its name."""


def hide_everywhere(secrets: Iterable[tuple[str, str]]) -> None:
    """Hide secrets from now on in all files, logs and messages that this process writes."""
    _everywhere.update((v, name) for name, v in secrets if len(v) >= _MIN_CHARS_EVERYWHERE)


@lru_cache(maxsize=1)
def _redactor(secrets: tuple[tuple[str, str], ...]) -> Redactor:
    return Redactor((name, value) for value, name in secrets)


def redacted(value: Any) -> Any:
    """Return a JSON value, or a text, without the secrets of `hide_everywhere`."""
    return _redactor(tuple(_everywhere.items())).value(value) if _everywhere else value


def redacted_message(text: str) -> str:
    """Return a message without those secrets, and without credentials in its addresses."""
    text = _ADDRESS.sub(lambda match: _without_credentials(match[0]), text)
    return str(redacted(text))


def _without_credentials(address: str) -> str:
    shown = Redactor(secrets_in(address)).text(address)
    return _USER.sub(lambda match: f"{match[0][: -len(match[2]) - 1]}[user]@", shown)


def refuse_credentials(text: str) -> None:
    """Refuse a text with an address that holds a credential, which would be written to files.

    Args:
        text: An address, or a text with addresses, such as a source of tools with its options.

    Raises:
        ValueError: It holds one; the message says how to give it.
    """
    for address in _ADDRESS.findall(text):
        if any(secrets_in(address)):
            raise ValueError(
                f"{bare_address(address)}: the address holds a secret; give it in an environment"
                " variable: a model's key in OPENAI_API_KEY, or its whole address in"
                " OPENAI_BASE_URL; for a source of tools auth.basic=VARIABLE for a user and"
                " password, auth.query.NAME=VARIABLE for a key"
            )


def is_secret_name(name: str) -> bool:
    """Return whether a name is that of a secret: `GITHUB_TOKEN`, `--api-key` ..."""
    return _SECRET_NAME.search(name) is not None


def secrets_in(text: str) -> Iterator[tuple[str, str]]:
    """Yield the names and values of the secrets that can be recognised in a text.

    These are the password of an address (or the user of a web address without a password), and
    values with the name of a secret: query parameters, JSON members, `--name=value`, `Name: value`.

    Args:
        text: An address, a command-line argument, a header or JSON.
    """
    for scheme, user in _USER.findall(text):
        name, colon, password = user.partition(":")
        if colon:
            yield "password", password
            yield "password", base64.b64encode(unquote(user).encode()).decode()
        elif scheme in ("http", "https"):  # a token; in other schemes a user name
            yield "password", name
    named: list[tuple[str, str]] = [*_PARAMETER.findall(text), *_IN_JSON.findall(text)]
    while match := _NAMED.fullmatch(text):  # a value may contain another: --env=TOKEN=value
        named.append((match[1], match[2]))
        text = match[2]
    yield from ((name, value) for name, value in named if is_secret_name(name))


def bare_address(url: str) -> str:
    """Return an address without user, query and path segments of 20 characters and more."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "..."
    path = re.sub(r"[^/]{20,}", "...", parts.path)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{path}"


def _forms(name: str, value: str) -> set[str]:
    """Return the value in every encoding; for a header `Bearer abc` also that of `abc`."""
    values = {value}
    if name.lower().endswith("authorization"):
        values.add(value.partition(" ")[2])
    encodings = (
        str,
        quote,
        lambda v: quote(v, safe=""),
        lambda v: re.sub("%..", lambda escape: escape[0].lower(), quote(v, safe="")),
        quote_plus,
        unquote,
        unquote_plus,
        lambda v: base64.b64encode(v.encode("utf-8", "replace")).decode().rstrip("="),
        lambda v: base64.urlsafe_b64encode(v.encode("utf-8", "replace")).decode().rstrip("="),
    )
    return {encode(v) for v in values if len(v) >= MIN_CHARS for encode in encodings}


def _in_json(character: str) -> str:
    """Return a pattern that matches every way to write a character in JSON.

    No way is the beginning of another one, so that matching takes linear time.
    """
    units = character.encode("utf-16-be", "surrogatepass").hex()
    escaped = "".join(rf"\\u{units[i : i + 4]}" for i in range(0, len(units), 4))
    forms = [f"(?i:{escaped})", re.escape(json.dumps(character, ensure_ascii=False)[1:-1])]
    if character == "/":
        forms.append(r"\\/")
    return f"(?:{'|'.join(dict.fromkeys(forms))})"
