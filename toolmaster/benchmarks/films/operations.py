"""The 54 operations of the film service: path to the function that answers it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from toolmaster.benchmarks.films import details, lists, views
from toolmaster.benchmarks.films.entities import Collection, Company, Episode, Season, Series
from toolmaster.benchmarks.films.lists import Find, Operation
from toolmaster.benchmarks.films.requests import Body, Request, not_found
from toolmaster.benchmarks.films.world import TODAY, FilmWorld


def _row(table: Mapping[Any, Any], key: Any) -> Any:
    if key not in table:
        raise not_found()
    return table[key]


def _numbered(table: str, parameter: str) -> Find:
    """The entity of a table whose number the path gives."""
    return lambda world, request: _row(getattr(world, table), request.number(parameter))


_movie = _numbered("movies", "movie_id")
_series = _numbered("series", "tv_id")
_person = _numbered("people", "person_id")
_collection = _numbered("collections", "collection_id")
_company = _numbered("companies", "company_id")
_network = _numbered("networks", "network_id")


def _season(world: FilmWorld, request: Request) -> tuple[Series, Season]:
    series: Series = _series(world, request)
    seasons = {season.number: season for season in series.seasons}
    return series, _row(seasons, request.number("season_number"))


def _episode(world: FilmWorld, request: Request) -> tuple[Series, Season, Episode]:
    series, season = _season(world, request)
    episodes = {episode.number: episode for episode in season.episodes}
    return series, season, _row(episodes, request.number("episode_number"))


def _detail(view: Callable[..., Body], find: Find) -> Operation:
    """The entity that the path names, as a view of the world shows it."""

    def operation(world: FilmWorld, request: Request) -> Body:
        found = find(world, request)
        return view(world, *found) if isinstance(found, tuple) else view(world, found)

    return operation


def _images(find: Find, *kinds: str) -> Operation:
    """The pictures of what the path names (of a season or an episode, its last part)."""

    def operation(world: FilmWorld, request: Request) -> Body:
        found = find(world, request)
        return views.images(found[-1] if isinstance(found, tuple) else found, *kinds)

    return operation


def _keywords(field: str, find: Find) -> Operation:
    def operation(world: FilmWorld, request: Request) -> Body:
        title = find(world, request)
        words = [{"id": number, "name": world.keywords[number]} for number in title.keywords]
        return {"id": title.id, field: words}

    return operation


def _genres(table: str) -> Operation:
    def operation(world: FilmWorld, _request: Request) -> Body:
        names = getattr(world, table)
        return {"genres": [{"id": number, "name": name} for number, name in names.items()]}

    return operation


def _latest_movie(world: FilmWorld, _request: Request) -> Body:
    out = [movie for movie in world.movies.values() if movie.release_date <= TODAY]
    return details.movie_detail(world, max(out, key=lambda movie: movie.release_date))


def _latest_series(world: FilmWorld, _request: Request) -> Body:
    out = [series for series in world.series.values() if series.first_air_date <= TODAY]
    return details.series_detail(world, max(out, key=lambda series: series.first_air_date))


def _network_detail(_world: FilmWorld, company: Company) -> Body:
    return {
        "headquarters": company.headquarters,
        "homepage": company.homepage,
        "id": company.id,
        "name": company.name,
        "origin_country": company.country,
    }


def _company_detail(world: FilmWorld, company: Company) -> Body:
    logo = company.picture("logos")
    more = {"description": "", "logo_path": logo, "parent_company": None}
    return {**_network_detail(world, company), **more}


def _collection_detail(world: FilmWorld, collection: Collection) -> Body:
    return {
        "backdrop_path": collection.picture("backdrops"),
        "id": collection.id,
        "name": collection.name,
        "overview": collection.overview,
        "parts": [views.movie_summary(world.movies[part]) for part in collection.parts],
        "poster_path": collection.picture("posters"),
    }


def _discover(kind: str) -> Operation:
    return lambda world, request: lists.discover(world, Request({"kind": kind}, request.query))


def _popularity(title: Any) -> float:
    return -float(title.popularity)


def _rating(title: Any) -> tuple[float, int]:
    return -title.vote_average, -title.vote_count


_MOVIE = "/movie/{movie_id}"
_TV = "/tv/{tv_id}"
_SEASON = _TV + "/season/{season_number}"
_EPISODE = _SEASON + "/episode/{episode_number}"
_SHOW_COLLECTION = lists.show_card(("poster_path", "posters"), ("backdrop_path", "backdrops"))
OPERATIONS: dict[str, Operation] = {
    "/collection/{collection_id}": _detail(_collection_detail, _collection),
    "/collection/{collection_id}/images": _images(_collection, "backdrops", "posters"),
    "/company/{company_id}": _detail(_company_detail, _company),
    "/company/{company_id}/images": _images(_company, "logos"),
    "/credit/{credit_id}": lambda world, request: details.credit_detail(
        world, _row(world.credits, request.path["credit_id"])
    ),
    "/discover/movie": _discover("movie"),
    "/discover/tv": _discover("tv"),
    "/genre/movie/list": _genres("movie_genres"),
    "/genre/tv/list": _genres("tv_genres"),
    "/movie/latest": _latest_movie,
    "/movie/now_playing": lists.dated_movies(-45, 0),
    "/movie/popular": lists.movies(_popularity),
    "/movie/top_rated": lists.movies(_rating),
    "/movie/upcoming": lists.dated_movies(1, 28),
    _MOVIE: _detail(details.movie_detail, _movie),
    _MOVIE + "/credits": _detail(details.movie_credits, _movie),
    _MOVIE + "/images": _images(_movie, "backdrops", "posters"),
    _MOVIE + "/keywords": _keywords("keywords", _movie),
    _MOVIE + "/recommendations": lists.recommended("movies", _movie, lists.show_movie),
    _MOVIE + "/release_dates": lambda world, request: details.release_dates(_movie(world, request)),
    _MOVIE + "/reviews": lists.reviews("movie", _movie),
    _MOVIE + "/similar": lists.similar("movies", _movie, lists.show_movie),
    "/network/{network_id}": _detail(_network_detail, _network),
    "/network/{network_id}/images": _images(_network, "logos"),
    "/person/popular": lambda world, request: request.page(
        sorted(world.people.values(), key=_popularity),
        lambda person: views.person_summary(world, person),
    ),
    "/person/{person_id}": lambda world, request: details.person_detail(_person(world, request)),
    "/person/{person_id}/images": _images(_person, "profiles"),
    "/person/{person_id}/movie_credits": _detail(details.person_movie_credits, _person),
    "/person/{person_id}/tv_credits": _detail(details.person_tv_credits, _person),
    "/review/{review_id}": lambda world, request: details.review_detail(
        world, _row(world.reviews, request.path["review_id"])
    ),
    "/search/collection": lists.search("collections", _SHOW_COLLECTION),
    "/search/company": lists.search("companies", lists.show_card(("logo_path", "logos"))),
    "/search/movie": lists.search("movies", lists.show_movie, "year", "primary_release_year"),
    "/search/person": lists.search("people", views.person_summary),
    "/search/tv": lists.search("series", lists.show_series, "first_air_date_year"),
    "/trending/{media_type}/{time_window}": lists.trending,
    "/tv/airing_today": lists.series(_popularity, range(1)),
    "/tv/latest": _latest_series,
    "/tv/on_the_air": lists.series(_popularity, range(8)),
    "/tv/popular": lists.series(_popularity),
    "/tv/top_rated": lists.series(_rating),
    _TV: _detail(details.series_detail, _series),
    _TV + "/credits": _detail(details.series_credits, _series),
    _TV + "/images": _images(_series, "backdrops", "posters"),
    _TV + "/keywords": _keywords("results", _series),
    _TV + "/recommendations": lists.recommended("series", _series, lists.show_series),
    _TV + "/reviews": lists.reviews("tv", _series),
    _TV + "/similar": lists.similar("series", _series, lists.show_series),
    _SEASON: _detail(details.season_detail, _season),
    _SEASON + "/credits": _detail(details.season_credits, _season),
    _SEASON + "/images": _images(_season, "posters"),
    _EPISODE: _detail(details.episode_detail, _episode),
    _EPISODE + "/credits": _detail(details.episode_credits, _episode),
    _EPISODE + "/images": _images(_episode, "stills"),
}
"""Where two paths fit a request, the earlier one answers."""
