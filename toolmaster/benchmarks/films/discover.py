"""The filters and orders of the service's discover operations, one small function a parameter.

A comma between values is AND, a pipe is OR, as the document has it. An empty value filters nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import date
from typing import Any, TypeVar

from toolmaster.benchmarks.films.entities import Credit, Movie, Series, Title
from toolmaster.benchmarks.films.requests import Query
from toolmaster.benchmarks.films.world import FilmWorld, vocabulary

T = TypeVar("T", bound=Title)
STATUSES = ("Returning Series", "Planned", "In Production", "Ended", "Canceled", "Pilot")
TYPES = ("Documentary", "News", "Miniseries", "Reality", "Scripted", "Talk Show", "Video")
"""The document's numbers for `with_status` and `with_type` are places in these."""


def matches(given: str, has: Iterable[str | int]) -> bool:
    """Whether a list filter such as `18,35` (all) or `18|35` (any) is met."""
    own = {str(value) for value in has}
    if "|" in given:
        return any(part.strip() in own for part in given.split("|"))
    return all(part.strip() in own for part in given.split(","))


def _people(parts: Iterable[Credit], cast: bool) -> list[int]:
    return [part.person for part in parts if part.is_cast is cast]


SHARED: dict[str, Callable[[Title, str], bool]] = {
    "vote_average.gte": lambda title, value: title.vote_average >= float(value),
    "vote_average.lte": lambda title, value: title.vote_average <= float(value),
    "vote_count.gte": lambda title, value: title.vote_count >= int(value),
    "vote_count.lte": lambda title, value: title.vote_count <= int(value),
    "with_genres": lambda title, value: matches(value, title.genres),
    "without_genres": lambda title, value: not _any(value, title.genres),
    "with_keywords": lambda title, value: matches(value, title.keywords),
    "without_keywords": lambda title, value: not _any(value, title.keywords),
    "with_companies": lambda title, value: matches(value, title.companies),
    "without_companies": lambda title, value: not _any(value, title.companies),
    "with_runtime.gte": lambda title, value: title.runtime >= int(value),
    "with_runtime.lte": lambda title, value: title.runtime <= int(value),
    "with_original_language": lambda title, value: title.language == value,
    "with_watch_providers": lambda title, value: matches(value, title.providers),
    "with_watch_monetization_types": lambda title, value: matches(value, title.offers),
}
MOVIE: dict[str, Callable[[Movie, str], bool]] = {
    "primary_release_year": lambda movie, value: movie.release_date.year == int(value),
    "primary_release_date.gte": lambda movie, value: movie.release_date >= _day(value),
    "primary_release_date.lte": lambda movie, value: movie.release_date <= _day(value),
    "year": lambda movie, value: any(day.year == int(value) for day in _days(movie)),
    "release_date.gte": lambda movie, value: any(day >= _day(value) for day in _days(movie)),
    "release_date.lte": lambda movie, value: any(day <= _day(value) for day in _days(movie)),
    "with_release_type": lambda movie, value: matches(
        value, [kind for _, kind, _ in movie.releases.values()]
    ),
    "region": lambda movie, value: value in movie.releases,
}
SERIES: dict[str, Callable[[Series, str], bool]] = {
    "air_date.gte": lambda series, value: series.episodes()[-1].air_date >= _day(value),
    "air_date.lte": lambda series, value: series.first_air_date <= _day(value),
    "first_air_date.gte": lambda series, value: series.first_air_date >= _day(value),
    "first_air_date.lte": lambda series, value: series.first_air_date <= _day(value),
    "first_air_date_year": lambda series, value: series.first_air_date.year == int(value),
    "with_networks": lambda series, value: matches(value, series.networks),
    "with_status": lambda series, value: matches(value, [STATUSES.index(series.status)]),
    "with_type": lambda series, value: matches(value, [TYPES.index(series.type)]),
    "screened_theatrically": lambda _series, value: value != "true",  # none of them was
}
MOVIE_ORDERS: dict[str, Callable[[Movie], Any]] = {
    "popularity": lambda movie: movie.popularity,
    "release_date": lambda movie: movie.release_date,
    "primary_release_date": lambda movie: movie.release_date,
    "revenue": lambda movie: movie.revenue,
    "original_title": lambda movie: movie.name,
    "vote_average": lambda movie: movie.vote_average,
    "vote_count": lambda movie: movie.vote_count,
}
SERIES_ORDERS: dict[str, Callable[[Series], Any]] = {
    "popularity": lambda series: series.popularity,
    "first_air_date": lambda series: series.first_air_date,
    "vote_average": lambda series: series.vote_average,
}


def discover_movies(world: FilmWorld, query: Query) -> list[Movie]:
    """Films that meet every filter given, in the order asked for.

    Raises:
        ValueError: a value that is no number or date where one is wanted.
    """
    people = {"with_cast": (True,), "with_crew": (False,), "with_people": (True, False)}
    found = []
    for movie in world.movies.values():
        parts = world.credits_of("movie", movie.id)
        in_cast = all(
            _any(query[key], [person for cast in kinds for person in _people(parts, cast)])
            for key, kinds in people.items()
            if query.get(key)
        )
        if in_cast and _meets(movie, MOVIE, query) and _certified(movie, query):
            found.append(movie)
    return _ordered(found, MOVIE_ORDERS, query)


def discover_series(world: FilmWorld, query: Query) -> list[Series]:
    """Series that meet every filter given, in the order asked for.

    Raises:
        ValueError: a value that is no number or date where one is wanted.
    """
    found = [series for series in world.series.values() if _meets(series, SERIES, query)]
    return _ordered(found, SERIES_ORDERS, query)


def _meets(title: T, filters: Mapping[str, Callable[[T, str], bool]], query: Query) -> bool:
    given = {key: value for key, value in query.items() if value}
    return all(
        check(title, given[key])
        for checks in (SHARED, filters)
        for key, check in checks.items()
        if key in given
    )


def _certified(movie: Movie, query: Query) -> bool:
    """Whether the film's certificate in `certification_country` is the one, or in the range."""
    country = query.get("certification_country", "")
    bounds = {key: query[key] for key in query if key.startswith("certification") and query[key]}
    bounds.pop("certification_country", None)
    if not country or not bounds:
        return True
    scale = vocabulary()["certifications"].get(country, ())
    if country not in movie.releases or not set(bounds.values()) <= set(scale):
        return False
    own = scale.index(movie.releases[country][0])
    return bool(
        bounds.get("certification", scale[own]) == scale[own]
        and own <= scale.index(bounds.get("certification.lte", scale[-1]))
        and own >= scale.index(bounds.get("certification.gte", scale[0]))
    )


def _ordered(found: list[T], orders: Mapping[str, Callable[[T], Any]], query: Query) -> list[T]:
    field, _, direction = (query.get("sort_by") or "popularity.desc").partition(".")
    if field not in orders:
        raise ValueError(f"sort_by: {field!r}")
    return sorted(found, key=orders[field], reverse=direction != "asc")


def _any(given: str, has: Iterable[int]) -> bool:
    return matches(given.replace(",", "|") + "|", has)


def _day(value: str) -> date:
    return date.fromisoformat(value)


def _days(movie: Movie) -> list[date]:
    return [day for _, _, day in movie.releases.values()]
