"""Reads the other files that a local document refers to, within bounds."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

from toolmaster.errors import InputError
from toolmaster.tools.openapi.parsing import MAX_BYTES, parse_text

MAX_FILES = 1000
"""The most files of one document."""


class OtherFiles:
    """The files around a document.

    Only files in the document's folder and below it are read, so that a document cannot show a
    model what else lies on the disk. Nothing is fetched.

    Args:
        document: The document's own file; None if it is no file, and has no others.
    """

    def __init__(self, document: Path | None) -> None:
        self._folder = None if document is None else document.resolve().parent
        self._contents: dict[Path, dict[str, Any]] = {}
        self._bytes_left = MAX_BYTES
        self.unread: dict[str, str] = {}
        """The reasons why parts in other documents could not be read, by their references."""

    def read(self, reference: str) -> dict[str, Any]:
        """Return the content of the file that a reference names, before its `#`.

        References inside it are made relative to the document's folder.

        Raises:
            LookupError: It cannot be read; the message says why.
        """
        place = reference.partition("#")[0]
        try:
            if self._folder is None or "://" in place or place.startswith("//"):
                raise LookupError("is in another document; bundle them into one")
            path = (self._folder / unquote(place)).resolve()
            if not path.is_relative_to(self._folder):
                raise LookupError("is in another document, outside the folder of the first")
            if path not in self._contents:
                self._contents[path] = self._load(path, self._folder)
            return self._contents[path]
        except LookupError as error:
            self.unread[reference] = str(error)
            raise

    def _load(self, path: Path, folder: Path) -> dict[str, Any]:
        why = "is in another document, which cannot be read"
        if len(self._contents) >= MAX_FILES:
            raise LookupError(f"{why}: more than {MAX_FILES} files")
        try:
            if not path.is_file():
                raise LookupError(f"{why}: no such file")
            if path.stat().st_size > self._bytes_left:
                raise LookupError(f"{why}: all files together have more than {MAX_BYTES >> 20} MiB")
            data = path.read_bytes()
            content = parse_text(data, path.name)
        except OSError as error:
            raise LookupError(f"{why}: {error.strerror}") from None
        except InputError as error:
            raise LookupError(f"{why}: {error}") from None
        self._bytes_left -= len(data)
        _rebase(content, path, folder)
        return content


def _rebase(content: dict[str, Any], path: Path, folder: Path) -> None:
    """Make the references in a file relative to the document's folder, in place."""
    todo: list[Any] = [content]
    while todo:
        value = todo.pop()
        inner = value.values() if isinstance(value, dict) else value
        todo += (each for each in inner if isinstance(each, dict | list))
        if isinstance(value, dict) and isinstance(value.get("$ref"), str):
            place, _, pointer = value["$ref"].partition("#")
            if "://" not in place and not place.startswith("//"):
                file = path.parent / unquote(place) if place else path
                value["$ref"] = f"{quote(os.path.relpath(file, folder))}#{pointer}"
