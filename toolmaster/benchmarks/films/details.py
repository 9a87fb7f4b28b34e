"""All the service has to say about one thing: the bodies of its detail operations."""

from __future__ import annotations

from collections.abc import Iterable

from toolmaster.benchmarks.films import views
from toolmaster.benchmarks.films.entities import (
    Credit,
    Episode,
    Movie,
    Person,
    Review,
    Season,
    Series,
)
from toolmaster.benchmarks.films.requests import Body
from toolmaster.benchmarks.films.world import TODAY, FilmWorld, vocabulary


def movie_detail(world: FilmWorld, movie: Movie) -> Body:
    """All there is to say about a film."""
    names = vocabulary()
    summary = views.movie_summary(movie)
    del summary["genre_ids"]
    collection = world.collections.get(movie.collection or 0)
    card = collection and {
        "id": collection.id,
        "name": collection.name,
        "poster_path": collection.picture("posters"),
        "backdrop_path": collection.picture("backdrops"),
    }
    return {
        **summary,
        "belongs_to_collection": card,
        "budget": movie.budget,
        "genres": [{"id": genre, "name": world.movie_genres[genre]} for genre in movie.genres],
        "homepage": "",
        "imdb_id": f"tt{movie.id:07d}",
        "production_companies": [views.company_card(world.companies[c]) for c in movie.companies],
        "production_countries": [
            {"iso_3166_1": movie.country, "name": names["countries"][movie.country]}
        ],
        "revenue": movie.revenue if movie.release_date <= TODAY else 0,
        "runtime": movie.runtime,
        "spoken_languages": [
            {"iso_639_1": movie.language, "name": names["languages"][movie.language]}
        ],
        "status": "Released" if movie.release_date <= TODAY else "Post Production",
        "tagline": movie.tagline,
    }


def release_dates(movie: Movie) -> Body:
    """When a film comes out in each country, with its certificate there."""
    results = [
        {
            "iso_3166_1": country,
            "release_dates": [
                {
                    "certification": certificate,
                    "iso_639_1": "",
                    "release_date": f"{day.isoformat()}T00:00:00.000Z",
                    "type": kind,
                }
            ],
        }
        for country, (certificate, kind, day) in movie.releases.items()
    ]
    return {"id": movie.id, "results": results}


def series_detail(world: FilmWorld, series: Series) -> Body:
    """All there is to say about a series."""
    summary = views.series_summary(series)
    del summary["genre_ids"]
    shown = [e for e in series.episodes() if e.air_date <= TODAY]
    due = [e for e in series.episodes() if e.air_date > TODAY]
    creators = [c for c in world.credits_of("tv", series.id) if c.job == "Creator"]
    fields = ("id", "credit_id", "name", "gender", "profile_path")
    return {
        **summary,
        "created_by": [views.only(views.credit_card(world, credit), fields) for credit in creators],
        "episode_run_time": [series.runtime],
        "genres": [{"id": genre, "name": world.tv_genres[genre]} for genre in series.genres],
        "homepage": f"{world.networks[series.networks[0]].homepage}/{series.id}",
        "in_production": bool(due),
        "languages": [series.language],
        "last_air_date": shown[-1].air_date.isoformat(),
        "last_episode_to_air": views.episode_card(series, shown[-1]),
        "name": series.name,
        "networks": [views.company_card(world.networks[number]) for number in series.networks],
        "next_episode_to_air": views.episode_card(series, due[0]) if due else None,
        "number_of_episodes": len(series.episodes()),
        "number_of_seasons": len(series.seasons),
        "production_companies": [views.company_card(world.companies[c]) for c in series.companies],
        "seasons": [views.season_card(season) for season in series.seasons],
        "status": series.status,
        "type": series.type,
    }


def season_detail(world: FilmWorld, series: Series, season: Season) -> Body:
    """All there is to say about a season, its episodes in full."""
    body = views.season_card(season)
    del body["episode_count"]
    episodes = [episode_detail(world, series, season, episode) for episode in season.episodes]
    return {"_id": f"{season.id:024x}", **body, "episodes": episodes}


def episode_detail(world: FilmWorld, series: Series, season: Season, episode: Episode) -> Body:
    """All there is to say about an episode."""
    own = _of_episode(world, series, season, episode)
    body = views.episode_card(series, episode)
    del body["show_id"]
    fields = ("id", "credit_id", "name", "department", "job", "profile_path")
    cards = [(credit.is_cast, views.credit_card(world, credit)) for credit in own]
    body["crew"] = [views.only(card, fields) for is_cast, card in cards if not is_cast]
    fields = ("id", "credit_id", "name", "character", "order", "profile_path")
    body["guest_stars"] = [views.only(card, fields) for is_cast, card in cards if is_cast]
    return body


def person_detail(person: Person) -> Body:
    """All there is to say about a person."""
    return {
        "adult": False,
        "also_known_as": person.aliases,
        "biography": f"{person.name} was born in {person.birthplace}.",
        "birthday": person.birthday.isoformat(),
        "deathday": person.deathday.isoformat() if person.deathday else None,
        "gender": person.gender,
        "homepage": None,
        "id": person.id,
        "imdb_id": f"nm{person.id:07d}",
        "known_for_department": person.department,
        "name": person.name,
        "place_of_birth": person.birthplace,
        "popularity": person.popularity,
        "profile_path": person.picture("profiles"),
    }


def person_movie_credits(world: FilmWorld, person: Person) -> Body:
    """The films of a person."""
    body: Body = {"id": person.id, "cast": [], "crew": []}
    for credit in world.credits_by(person.id, "movie"):
        entry = views.movie_summary(world.movies[credit.media])
        body["cast" if credit.is_cast else "crew"].append({**entry, **_part(credit)})
    return body


def person_tv_credits(world: FilmWorld, person: Person) -> Body:
    """The series of a person: each part or job once, with the number of its episodes."""
    body: Body = {"id": person.id, "cast": [], "crew": []}
    roles: dict[tuple[int, bool, str], list[Credit]] = {}
    for credit in world.credits_by(person.id, "tv"):
        roles.setdefault((credit.media, credit.is_cast, credit.job), []).append(credit)
    for (media, is_cast, _), parts in roles.items():
        series = world.series[media]
        whole = any(credit.season is None for credit in parts)
        count = len(series.episodes()) if whole else len(parts)
        entry = {**views.series_summary(series), **_part(parts[0]), "episode_count": count}
        body["cast" if is_cast else "crew"].append(entry)
    return body


def movie_credits(world: FilmWorld, movie: Movie) -> Body:
    """Who made a film."""
    parts = world.credits_of("movie", movie.id)
    cast = [{**views.credit_card(world, c), "cast_id": c.order} for c in parts if c.is_cast]
    crew = [views.credit_card(world, c) for c in parts if not c.is_cast]
    return {"id": movie.id, "cast": cast, "crew": crew}


def series_credits(world: FilmWorld, series: Series) -> Body:
    """Who made a series as a whole."""
    parts = [c for c in world.credits_of("tv", series.id) if c.season is None]
    return {**_cast_and_crew(world, parts), "id": series.id}


def season_credits(world: FilmWorld, series: Series, season: Season) -> Body:
    """Who made a season: the cast of the series, and the crew of its episodes, each job once."""
    parts = [c for c in world.credits_of("tv", series.id) if c.season is None and c.is_cast]
    jobs = {
        (c.person, c.job): c
        for c in reversed(world.credits_of("tv", series.id))
        if c.season == season.number and not c.is_cast
    }
    parts += reversed(jobs.values())
    return {**_cast_and_crew(world, parts), "id": season.id}


def episode_credits(world: FilmWorld, series: Series, season: Season, episode: Episode) -> Body:
    """Who made an episode."""
    own = _of_episode(world, series, season, episode)
    cast = [c for c in world.credits_of("tv", series.id) if c.season is None and c.is_cast]
    return {
        **_cast_and_crew(world, cast + [c for c in own if not c.is_cast]),
        "guest_stars": [views.credit_card(world, c) for c in own if c.is_cast],
        "id": episode.id,
    }


def credit_detail(world: FilmWorld, credit: Credit) -> Body:
    """A credit with its person and its title."""
    title: Movie | Series
    if credit.media_type == "movie":
        title = world.movies[credit.media]
        media: Body = {"title": title.name, "original_title": title.name}
    else:
        title = world.series[credit.media]
        chosen = [s for s in title.seasons if credit.season in (None, s.number)]
        fields = ("air_date", "poster_path", "season_number")
        of = credit.episode
        episodes = [
            views.episode_card(title, e) for s in chosen for e in s.episodes if e.number == of
        ]
        seasons = [views.only(views.season_card(s), fields) for s in chosen]
        names = {"name": title.name, "original_name": title.name}
        media = {**names, "episodes": episodes, "seasons": seasons}
    media |= {"id": title.id, "character": credit.character or ""}
    return {
        "credit_type": "cast" if credit.is_cast else "crew",
        "department": "Actors" if credit.is_cast else credit.department,
        "id": credit.id,
        "job": credit.job,
        "media": media,
        "media_type": credit.media_type,
        "person": {"id": credit.person, "name": world.people[credit.person].name},
    }


def review_detail(world: FilmWorld, review: Review) -> Body:
    """A review with its title."""
    titles: dict[int, Movie] | dict[int, Series]
    titles = world.movies if review.media_type == "movie" else world.series
    return {
        **views.review_card(review),
        "iso_639_1": "en",
        "media_id": review.media,
        "media_title": titles[review.media].name,
        "media_type": "Movie" if review.media_type == "movie" else "TV",
    }


def _part(credit: Credit) -> Body:
    """A credit as its person shows it."""
    if credit.is_cast:
        return {"credit_id": credit.id, "character": credit.character}
    return {"credit_id": credit.id, "department": credit.department, "job": credit.job}


def _of_episode(world: FilmWorld, series: Series, season: Season, episode: Episode) -> list[Credit]:
    place = (season.number, episode.number)
    return [c for c in world.credits_of("tv", series.id) if (c.season, c.episode) == place]


def _cast_and_crew(world: FilmWorld, parts: Iterable[Credit]) -> Body:
    body: Body = {"cast": [], "crew": []}
    for credit in parts:
        body["cast" if credit.is_cast else "crew"].append(views.credit_card(world, credit))
    return body
