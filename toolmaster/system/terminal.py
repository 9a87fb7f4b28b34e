"""Makes text safe to show: nothing that a file, a model or a server says may steer a terminal."""

from __future__ import annotations

import io
import json
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO

_CONTROLS = {code: chr(0x2400 + code) for code in range(32) if chr(code) not in "\n\t"}
_UNSEEN = (range(0x7F, 0xA0), range(0x202A, 0x202F), range(0x2066, 0x206A))
"""Further controls: of the terminal, and of the direction in which text is shown."""
_CONTROLS |= {code: "\N{REPLACEMENT CHARACTER}" for codes in _UNSEEN for code in codes}
_IN_JSON = re.compile("[\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def visible(text: str) -> str:
    """Return the text with control characters (but newline and tab) replaced by signs."""
    return text.translate(_CONTROLS)


def json_line(value: Any) -> str:
    """Return a value as JSON in one line, with control characters in JSON's own escapes."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    return _IN_JSON.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


@contextmanager
def held_output() -> Iterator[None]:
    """Hold back what this program prints until the end, so that a question stands alone."""
    streams = {name: getattr(sys, name) for name in ("stdout", "stderr")}
    held = {name: _Held(stream) for name, stream in streams.items() if stream is not None}
    for name, stream in held.items():
        setattr(sys, name, stream)
    try:
        yield
    finally:
        for name, stream in held.items():
            setattr(sys, name, stream.behind)
            stream.behind.write(stream.getvalue())


class _Held(io.StringIO):
    """A stream that looks like the one behind it, so that what is held keeps its colours."""

    def __init__(self, behind: TextIO) -> None:
        super().__init__()
        self.behind = behind

    def isatty(self) -> bool:
        return self.behind.isatty()

    def fileno(self) -> int:
        return self.behind.fileno()
