"""Walking a gold path over the film service: a query and its endpoints in, calls and responses out.

This is what one who understands the query does: search for what it names, take ids from the
responses before, choose the director where the director is asked for. Where a gold path leaves out
a call without which an id cannot be known, the call is made all the same (a detour).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from toolmaster.benchmarks.films.requests import Body
from toolmaster.benchmarks.films.service import FilmService

SEARCHED = {
    "/search/movie": "movies",
    "/search/tv": "series",
    "/search/person": "people",
    "/search/company": "companies",
    "/search/collection": "collections",
}
"""Search to the world's table of what it finds."""
DETOURS = {
    "company": ("/movie/{movie_id}", "/tv/{tv_id}", "/search/company"),
    "person": ("/movie/{movie_id}/credits", "/tv/{tv_id}/credits"),
}
"""What to call for an id that no response so far holds; the first that can be called."""
ORDINALS = {"first": 1, "second": 2, "third": 3, "fourth": 4, "fifth": 5}
JOBS = {
    "compose": "Original Music Composer",
    "screenplay": "Screenplay",
    "cinematograph": "Director of Photography",
    "direct": "Director",
}
"""Word in a query to the job it asks for."""


INDEFINITE = re.compile(r"\b(a|one of the) (tv show|movie)s?\b", re.IGNORECASE)


class LostError(Exception):
    """The path cannot be walked: something it needs is nowhere to be found."""


@dataclass(frozen=True, slots=True)
class Stop:
    """One call of a walk."""

    path: str
    """The path as the document has it."""
    arguments: dict[str, Any]
    body: Body


@dataclass(slots=True)
class Walk:
    """A walk in progress.

    Args:
        service: what answers.
        query: what the user asks.
        names: search path to what to search for.
        place: which entity is taken of a list where the query does not say.
    """

    service: FilmService
    query: str
    names: dict[str, str]
    place: int = 0
    stops: list[Stop] = field(default_factory=list)

    def visit(self, path: str) -> Stop:
        """Call an operation with the arguments that the query and the walk so far imply.

        Raises:
            LostError: an argument cannot be known, or the service refuses.
        """
        arguments = {name: self._argument(name) for name in re.findall(r"\{(\w+)\}", path)}
        address = path.format(**arguments)
        query: dict[str, str] = {}
        if path in SEARCHED:
            if path not in self.names:
                raise LostError(f"the query names nothing for {path}")
            query = {"query": self.names[path]}
        status, body = self.service.get(address, query)
        if status != 200:
            raise LostError(f"{address} answers {status}")
        self.stops.append(Stop(path, {**arguments, **query}, body))
        return self.stops[-1]

    def _argument(self, name: str) -> Any:
        if name == "media_type":
            return "tv" if re.search(r"\b(tv|show)", self.query, re.IGNORECASE) else "movie"
        if name == "time_window":
            return "week" if "week" in self.query else "day"
        if name in ("season_number", "episode_number"):
            return ordinal(self.query, name.partition("_")[0])
        kind = name.removesuffix("_id")
        found = self._choice(kind)
        if found is None:
            self._detour(kind)
            found = self._choice(kind)
        if found is None:
            raise LostError(f"no response holds a {kind}")
        return found["id"]

    def _choice(self, kind: str) -> Body | None:
        """The entity of a kind that the query means, from the latest response that holds some."""
        for stop in reversed(self.stops):
            offered = list(offers(kind, stop))
            if offered and self.place and not stop.path.startswith("/search"):
                return offered[self.place] if self.place < len(offered) else None
            if offered:
                return chosen(self.query, offered)
        return None

    def _detour(self, kind: str) -> None:
        for path in DETOURS.get(kind, ()):
            kinds = [name.removesuffix("_id") for name in re.findall(r"\{(\w+)\}", path)]
            if all(self._choice(other) for other in kinds) and (
                path not in SEARCHED or path in self.names
            ):
                self.visit(path)
                return


def walk(service: FilmService, query: str, paths: Sequence[str]) -> list[list[Stop]]:
    """Walk a gold path.

    Args:
        service: what answers.
        query: what the user asks.
        paths: the gold path, as the document writes its paths.

    Returns:
        The stops, once for each thing compared: a query such as "which is older, A or B" with a
        path for one of them is walked twice.

    Raises:
        LostError: the path cannot be walked over this world.
    """
    named = {path: named_in(query, service, table) for path, table in SEARCHED.items()}
    compared = next((p for p in paths if paths.count(p) == 1 and len(named.get(p, ())) > 1), None)
    walks = []
    for turn in range(len(named[compared]) if compared else 1):
        names = {
            path: found[turn if path == compared else 0] for path, found in named.items() if found
        }
        taken = Walk(service, query, names)
        used: dict[str, int] = {}
        for path in paths:
            if paths.count(path) > 1 and path in SEARCHED:  # named twice, searched for in turn
                place = used[path] = used.get(path, -1) + 1
                if place >= len(named[path]):
                    raise LostError(f"the query names {place} things for {path}")
                taken.names[path] = named[path][place]
            taken.visit(path)
        walks.append(taken.stops)
    return walks


def other_walks(service: FilmService, query: str, paths: Sequence[str]) -> list[list[Stop]]:
    """The walks that would do as well where a query says "a movie" and a list offers several."""
    if not INDEFINITE.search(query):
        return []
    found = {path: named_in(query, service, table) for path, table in SEARCHED.items()}
    names = {path: named[0] for path, named in found.items() if named}
    walks = []
    for place in range(1, 20):
        taken = Walk(service, query, names, place)
        try:
            for path in paths:
                taken.visit(path)
        except LostError:
            continue
        walks.append(taken.stops)
    return walks


def named_in(query: str, service: FilmService, table: str) -> list[str]:
    """The names of a table's entities that a query mentions, in its order."""
    text = f" {_plain(query)} "
    ways = {
        spoken: name
        for entity in getattr(service.world, table).values()
        for name in [entity.name.removesuffix(" Collection")]
        for spoken in _spoken(name, table)
    }
    found = []
    for spoken in sorted(ways, key=len, reverse=True):  # what a longer name has taken is gone
        place = text.find(f" {spoken} ")
        if place >= 0:
            found.append((place, ways[spoken]))
            text = text.replace(f" {spoken} ", f" {'#' * len(spoken)} ", 1)
    return [name for _, name in sorted(found)]


def _spoken(name: str, table: str) -> list[str]:
    """How people say a name: in full, a person by last name, a company without its last word."""
    words = _plain(name).split()
    ways = [words]
    if table == "people":
        ways.append(words[-1:])
    if table == "companies" and len(words) > 2:
        ways.append(words[:-1])
    return [" ".join(way) for way in ways]


def offers(kind: str, stop: Stop) -> Iterator[Body]:
    """The entities of a kind whose ids a response gives."""
    body, path = stop.body, stop.path
    if kind == "person":
        yield from (*body.get("cast", ()), *body.get("crew", ())) if "credits" in path else ()
    elif kind in ("company", "network"):
        yield from body.get("production_companies" if kind == "company" else "networks", ())
    elif path.startswith("/person/") and path.endswith(f"/{kind}_credits"):
        yield from (*body["cast"], *body["crew"])
    elif kind == "movie" and path == "/collection/{collection_id}":
        yield from body["parts"]
    elif path in (f"/{kind}/latest", f"/{kind}/{{{kind}_id}}"):
        yield body
    if "results" in body and (kind == _listed(stop)):
        yield from body["results"]


def _listed(stop: Stop) -> str:
    """What kind of thing a page of results lists."""
    _, first, *rest = stop.path.split("/")
    if first in ("search", "discover"):
        return rest[0]
    if first == "trending":
        return str(stop.arguments["media_type"])
    return first if rest and rest[-1] not in ("reviews", "keywords", "release_dates") else ""


def chosen(query: str, offered: Sequence[Body]) -> Body:
    """The one of several entities that a query means; the first where it does not say."""
    asked = query.lower()
    if not any("credit_id" in entity for entity in offered):
        return offered[0]
    jobs = [job for word, job in JOBS.items() if word in asked and "lead" not in asked]
    if jobs:
        offered = [e for e in offered if e.get("job") == jobs[0]] or offered
    if any(date_of(entity) for entity in offered):  # the titles of a person, not people of a title
        if re.search(r"\b(latest|recent|newest)", asked):
            return max(offered, key=date_of)
        if "highest rated" in asked:
            return max(offered, key=lambda entity: entity["vote_average"])
        if "most popular" in asked:
            return max(offered, key=lambda entity: entity["popularity"])
    return offered[0]


def date_of(title: Body) -> str:
    """When a film or series came out."""
    return str(title.get("release_date") or title.get("first_air_date") or "")


def ordinal(query: str, word: str) -> int:
    """The number that a query gives a season or an episode; 1 where it says none."""
    asked = query.lower()
    if found := re.search(rf"\b{word} (\d+)", asked):
        return int(found[1])
    if found := re.search(rf"\b({'|'.join(ORDINALS)}) {word}", asked):
        return ORDINALS[found[1]]
    return 1


def _plain(text: str) -> str:
    return " ".join(re.findall(r"\w+", text.lower()))
