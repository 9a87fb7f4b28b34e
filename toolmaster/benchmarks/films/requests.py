"""One request to the film service, and the answers that are not results."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

Body = dict[str, Any]
Query = Mapping[str, str]
PAGE = 20
"""Results of a page."""


class Refusal(Exception):  # noqa: N818 - a normal answer of the service
    """Raised to answer with a status and TMDB's error body."""

    def __init__(self, status: int, body: Body) -> None:
        super().__init__(body)
        self.status = status
        self.body = body


def not_found() -> Refusal:
    """TMDB's answer to a number or a path that does not exist."""
    message = "The resource you requested could not be found."
    return Refusal(404, {"success": False, "status_code": 34, "status_message": message})


def invalid(message: str) -> Refusal:
    """TMDB's answer to a parameter that it cannot use."""
    return Refusal(422, {"errors": [message]})


class Request(NamedTuple):
    """One request: the path's parameters and the query's."""

    path: Mapping[str, str]
    query: Query

    def number(self, name: str) -> int:
        """A path parameter that is a number.

        Raises:
            Refusal: it is none, so nothing has it.
        """
        value = self.path[name]
        if not (value.isascii() and value.isdigit()):
            raise not_found()
        return int(value)

    def page(self, items: Iterable[Any], show: Callable[[Any], Body]) -> Body:
        """One page of results, each as `show` shows it.

        Raises:
            Refusal: `page` is not a number from 1 to 1000.
        """
        shown = list(items)
        value = self.query.get("page") or "1"
        if not (value.isascii() and value.isdigit() and 1 <= int(value) <= 1000):
            raise invalid("page must be greater than 0 and at most 1000")
        start = (int(value) - 1) * PAGE
        return {
            "page": int(value),
            "results": [show(item) for item in shown[start : start + PAGE]],
            "total_pages": max(1, -(-len(shown) // PAGE)),
            "total_results": len(shown),
        }
