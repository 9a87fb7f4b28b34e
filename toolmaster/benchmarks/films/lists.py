"""Operations of the film service that answer with a page of results: searches, charts, neighbours.

Each maker here returns an operation, a function from the world and a request to a body.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from typing import Any

from toolmaster.benchmarks.films import views
from toolmaster.benchmarks.films.discover import discover_movies, discover_series
from toolmaster.benchmarks.films.entities import Entity, Movie, Series, Title
from toolmaster.benchmarks.films.requests import Body, Request, invalid, not_found
from toolmaster.benchmarks.films.world import TODAY, FilmWorld

Operation = Callable[[FilmWorld, Request], Body]
Find = Callable[[FilmWorld, Request], Any]
"""The entity that a request's path names."""
Show = Callable[[FilmWorld, Any], Body]
STOP_WORDS = frozenset({"a", "an", "the", "of"})
"""Words that a search passes over."""


def show_movie(_world: FilmWorld, movie: Movie) -> Body:
    """A film as lists show it."""
    return views.movie_summary(movie)


def show_series(_world: FilmWorld, series: Series) -> Body:
    """A series as lists show it."""
    return views.series_summary(series)


def show_card(*pictures: tuple[str, str]) -> Show:
    """A company or a collection as a search shows it; pairs of field and kind of picture."""

    def show(_world: FilmWorld, entity: Entity) -> Body:
        images = {field: entity.picture(kind) for field, kind in pictures}
        return {"id": entity.id, "name": entity.name, **images}

    return show


def search(table: str, show: Show, *years: str) -> Operation:
    """A search by name.

    Args:
        table: the world's table to look in.
        show: how a result looks.
        years: query parameters that keep titles of one year.
    """

    def operation(world: FilmWorld, request: Request) -> Body:
        found = _named(getattr(world, table).values(), request.query.get("query", ""))
        for year in years:
            if request.query.get(year):
                found = [item for item in found if str(_year(item)) == request.query[year]]
        region = request.query.get("region")
        if region and table == "movies":
            found = [movie for movie in found if region in movie.releases]
        return request.page(found, lambda item: show(world, item))

    return operation


def _named(items: Iterable[Any], query: str) -> list[Any]:
    """Items whose name holds every word asked for, exact and popular ones first."""
    if not query.strip():
        raise invalid("query must be provided")
    wanted = _words(query)
    found = [item for item in items if wanted and set(wanted) <= set(_words(item.name))]
    return sorted(
        found, key=lambda item: (_words(item.name) != wanted, -getattr(item, "popularity", 0.0))
    )


def _words(text: str) -> list[str]:
    return [word for word in re.findall(r"\w+", text.lower()) if word not in STOP_WORDS]


def _year(title: Movie | Series) -> int:
    day = title.release_date if isinstance(title, Movie) else title.first_air_date
    return day.year


def movies(
    order: Callable[[Movie], Any], keep: Callable[[Movie], bool] = lambda _: True
) -> Operation:
    """A chart of films; `region` narrows it to those released there."""

    def operation(world: FilmWorld, request: Request) -> Body:
        region = request.query.get("region")
        chosen = [
            movie
            for movie in world.movies.values()
            if keep(movie) and (not region or region in movie.releases)
        ]
        return request.page(sorted(chosen, key=order), views.movie_summary)

    return operation


def dated_movies(days_from: int, days_to: int) -> Operation:
    """The popular films of a window of days from today, with the window."""
    low, high = TODAY + timedelta(days=days_from), TODAY + timedelta(days=days_to)
    chart = movies(lambda movie: -movie.popularity, lambda movie: low <= movie.release_date <= high)

    def operation(world: FilmWorld, request: Request) -> Body:
        dates = {"maximum": high.isoformat(), "minimum": low.isoformat()}
        return {**chart(world, request), "dates": dates}

    return operation


def series(order: Callable[[Series], Any], days: range | None = None) -> Operation:
    """A chart of series: all, or those with an episode on one of the days from today."""
    due = None if days is None else {TODAY + timedelta(days=day) for day in days}

    def operation(world: FilmWorld, request: Request) -> Body:
        chosen = [
            one
            for one in world.series.values()
            if due is None or any(episode.air_date in due for episode in one.episodes())
        ]
        return request.page(sorted(chosen, key=order), views.series_summary)

    return operation


def similar(table: str, find: Find, show: Show) -> Operation:
    """Titles that share genres and keywords, the closest first."""

    def operation(world: FilmWorld, request: Request) -> Body:
        title: Title = find(world, request)
        close = {
            other.id: len({*title.genres} & {*other.genres})
            + len({*title.keywords} & {*other.keywords})
            for other in getattr(world, table).values()
        }
        others = [o for o in getattr(world, table).values() if o.id != title.id and close[o.id]]
        others.sort(key=lambda other: (-close[other.id], -other.popularity))
        return request.page(others, lambda item: show(world, item))

    return operation


def recommended(table: str, find: Find, show: Show) -> Operation:
    """Titles that share the first genre, the best rated first."""

    def operation(world: FilmWorld, request: Request) -> Body:
        title: Title = find(world, request)
        others = [
            other
            for other in getattr(world, table).values()
            if other.id != title.id and title.genres[0] in other.genres
        ]
        others.sort(key=lambda other: (-other.vote_average, -other.vote_count))
        return request.page(others, lambda item: show(world, item))

    return operation


def reviews(media_type: str, find: Find) -> Operation:
    """What visitors wrote about a title."""

    def operation(world: FilmWorld, request: Request) -> Body:
        number = find(world, request).id
        own = [r for r in world.reviews.values() if (r.media_type, r.media) == (media_type, number)]
        return {"id": number, **request.page(own, views.review_card)}

    return operation


def discover(world: FilmWorld, request: Request) -> Body:
    """Films or series that meet the query's filters."""
    try:
        if request.path["kind"] == "movie":
            return request.page(discover_movies(world, request.query), views.movie_summary)
        return request.page(discover_series(world, request.query), views.series_summary)
    except ValueError as error:
        raise invalid(f"a parameter cannot be used: {error}") from None


def trending(world: FilmWorld, request: Request) -> Body:
    """What is looked at most; a week smooths what a day shows."""
    kinds: dict[str, tuple[Mapping[int, Any], Show]] = {
        "movie": (world.movies, show_movie),
        "tv": (world.series, show_series),
        "person": (world.people, views.person_summary),
    }
    wanted, window = request.path["media_type"], request.path["time_window"]
    if wanted not in (*kinds, "all") or window not in ("day", "week"):
        raise not_found()
    swing = {"day": 40, "week": 10}[window]
    chosen = [kind for kind in kinds if wanted in (kind, "all")]
    ranked = sorted(
        ((kind, item) for kind in chosen for item in kinds[kind][0].values()),
        key=lambda entry: -(entry[1].popularity + entry[1].id % swing),
    )

    def show(entry: tuple[str, Any]) -> Body:
        kind, item = entry
        body = kinds[kind][1](world, item)
        return {**body, "media_type": kind} if wanted == "all" else body

    return request.page(ranked, show)
