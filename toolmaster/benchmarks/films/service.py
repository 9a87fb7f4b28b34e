"""The film service: answers the 54 GET operations of TMDB's document over a film world.

It stands in for a live service that needs a key and changes daily: the shapes of its responses and
errors are the document's, its ids lead from one operation to the next, and every answer can be
checked. `FilmService.get` is the service; `server` puts it behind HTTP.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from toolmaster.benchmarks.films.operations import OPERATIONS
from toolmaster.benchmarks.films.requests import Body, Query, Refusal, Request, not_found
from toolmaster.benchmarks.films.world import FilmWorld


class Answer(NamedTuple):
    """What the service answers."""

    status: int
    body: Body


class FilmService:
    """Answers requests; the same request always gets the same answer.

    Args:
        world: what it knows.
    """

    def __init__(self, world: FilmWorld) -> None:
        self.world = world
        self._routes = [(_pattern(path), operation) for path, operation in OPERATIONS.items()]

    def get(self, path: str, query: Query) -> Answer:
        """Answer one GET request.

        Args:
            path: below the service's base address, such as `/movie/550/credits`.
            query: the query parameters as they came.

        Returns:
            Status and JSON body: 200, 404 for what does not exist, 422 for a parameter that cannot
            be used. A parameter the operation does not know is passed over, as by TMDB.
        """
        try:
            return Answer(200, self._body(path, query))
        except Refusal as refusal:
            return Answer(refusal.status, refusal.body)

    def _body(self, path: str, query: Query) -> Body:
        for pattern, operation in self._routes:
            match = pattern.fullmatch(path)
            if match is not None:
                body = operation(self.world, Request(match.groupdict(), query))
                return body | self._appended(path, query.get("append_to_response", ""))
        raise not_found()

    def _appended(self, path: str, names: str) -> Body:
        """The bodies of further operations below `path`, by name; unknown ones are passed over."""
        answers = {name: self.get(f"{path}/{name}", {}) for name in names.split(",") if name}
        return {name: answer.body for name, answer in answers.items() if answer.status == 200}


def _pattern(path: str) -> re.Pattern[str]:
    return re.compile(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", path))
