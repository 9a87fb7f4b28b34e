"""Decodes compressed HTTP bodies within a limit: a kilobyte can stand for gigabytes."""

from __future__ import annotations

import zlib

ACCEPT_NONE = {"Accept-Encoding": "identity"}
"""The header of a request that asks for an answer that is not compressed."""


class BodyDecoder:
    """Decodes the chunks of a body; many servers compress although they were asked not to.

    Args:
        coding: The header Content-Encoding; one layer of gzip or deflate is allowed.
        limit: The most bytes to decode.

    Example:
        >>> decoder = BodyDecoder("gzip", 4)
        >>> decoder.decode(zlib.compress(b"aaaaaaaa", wbits=31)), decoder.full
        (b'aaaa', True)
    """

    def __init__(self, coding: str, limit: int) -> None:
        names = (name.strip().lower() for name in coding.split(","))
        self._codings = [name for name in names if name not in ("", "identity")]
        self._left = limit
        self._inflater: zlib._Decompress | None = None

    @property
    def full(self) -> bool:
        """Whether the limit is reached."""
        return self._left <= 0

    def decode(self, chunk: bytes) -> bytes:
        """Return what a chunk of the body stands for, as far as the limit allows.

        Raises:
            ValueError: The body has another coding, more than one layer, or is damaged.
        """
        if self.full or not chunk:
            return b""
        if self._codings and self._codings not in (["gzip"], ["x-gzip"], ["deflate"]):
            raise ValueError(
                f"the answer is compressed as {', '.join(self._codings)!r}, though it was asked not"
                " to be; allowed is one layer of gzip or deflate"
            )
        if self._codings and self._inflater is None:
            raw = self._codings == ["deflate"] and chunk[0] & 15 != 8  # without zlib's header
            self._inflater = zlib.decompressobj(-15 if raw else 47)
        try:
            data = self._inflater.decompress(chunk, self._left) if self._inflater else chunk
        except zlib.error as error:
            raise ValueError(f"the answer is compressed, but damaged: {error}") from None
        data = data[: self._left]
        self._left -= len(data)
        return data
