"""Names that model APIs accept, and descriptions cut to a budget."""

from __future__ import annotations

import re
from collections.abc import Container

MAX_NAME = 64
"""Characters of a tool or argument name that every model API accepts."""


def operation_name(operation_id: object, method: str, path: str, taken: Container[str]) -> str:
    """A tool's name: the operation's own id where it has one, else its method and path.

    Args:
        operation_id: what the document says, text or anything else.
        method: HTTP method.
        path: path template.
        taken: names in use.

    Returns:
        A name of `[a-zA-Z0-9_-]`, at most 64 characters, not in `taken`.
    """
    name = _clean(operation_id, "") if isinstance(operation_id, str) else ""
    if not name:
        words = _clean(path, "").split("_")
        while len(words) > 1 and len("_".join([method, *words])) > MAX_NAME:
            del words[0]  # the end of a path says more than its beginning
        name = "_".join(word for word in (method.lower(), *words) if word)
    return _unique(name, taken)


def argument_name(wire_name: str, location: str, taken: Container[str]) -> str:
    """An argument's name: the parameter's own, or with its location where that is taken.

    Returns:
        A name of `[a-zA-Z0-9_.-]`, at most 64 characters, not in `taken`.
    """
    name = _clean(wire_name, ".") or location
    return _unique(name if name not in taken else f"{name}_{location}", taken)


def definition_name(reference: str, taken: Container[str]) -> str:
    """A key under `$defs` for what `reference` names."""
    return _unique(_clean(reference.rsplit("/", 1)[-1], ".") or "schema", taken)


def trim(text: object, chars: int) -> str:
    """`text` on one line, cut at a sentence or else a word so that it has at most `chars`."""
    if not isinstance(text, str):
        return ""
    line = " ".join(text[: 20 * chars].split())
    if len(line) <= chars:
        return line
    head = line[: chars - 3]
    sentence, word = head.rfind(". ") + 1, head.rfind(" ")
    if sentence > chars // 2:
        return head[:sentence]
    return (head[:word] if word > chars // 2 else head) + "..."


def _clean(text: str, also: str) -> str:
    return re.sub(rf"[^a-zA-Z0-9{also}-]+", "_", text[:1000]).strip("_.-")


def _unique(name: str, taken: Container[str]) -> str:
    if len(name) > MAX_NAME:
        head = name[:MAX_NAME]
        cut = max(head.rfind("_"), head.rfind("-"))
        name = head[:cut] if cut > MAX_NAME // 2 else head
    number, found = 1, name
    while found in taken:
        number += 1
        found = f"{name[: MAX_NAME - len(str(number)) - 1]}_{number}"
    return found
