"""How the service shows things inside lists and other bodies, in the shapes of the document."""

from __future__ import annotations

from collections.abc import Iterable

from toolmaster.benchmarks.films.entities import (
    Company,
    Credit,
    Entity,
    Episode,
    Movie,
    Person,
    Review,
    Season,
    Series,
)
from toolmaster.benchmarks.films.requests import Body
from toolmaster.benchmarks.films.world import FilmWorld


def movie_summary(movie: Movie) -> Body:
    """A film as lists show it."""
    return {
        "adult": False,
        "backdrop_path": movie.picture("backdrops"),
        "genre_ids": movie.genres,
        "id": movie.id,
        "original_language": movie.language,
        "original_title": movie.name,
        "overview": movie.overview,
        "popularity": movie.popularity,
        "poster_path": movie.picture("posters"),
        "release_date": movie.release_date.isoformat(),
        "title": movie.name,
        "video": False,
        "vote_average": movie.vote_average,
        "vote_count": movie.vote_count,
    }


def series_summary(series: Series) -> Body:
    """A series as lists show it."""
    return {
        "backdrop_path": series.picture("backdrops"),
        "first_air_date": series.first_air_date.isoformat(),
        "genre_ids": series.genres,
        "id": series.id,
        "name": series.name,
        "origin_country": [series.country],
        "original_language": series.language,
        "original_name": series.name,
        "overview": series.overview,
        "popularity": series.popularity,
        "poster_path": series.picture("posters"),
        "vote_average": series.vote_average,
        "vote_count": series.vote_count,
    }


def person_summary(world: FilmWorld, person: Person) -> Body:
    """A person as lists show them, with the films they are known for."""
    films = {c.media: world.movies[c.media] for c in world.credits_by(person.id, "movie")}
    best = sorted(films.values(), key=lambda movie: -movie.popularity)[:3]
    return {
        "adult": False,
        "id": person.id,
        "known_for": [{**movie_summary(movie), "media_type": "movie"} for movie in best],
        "name": person.name,
        "popularity": person.popularity,
        "profile_path": person.picture("profiles"),
    }


def company_card(company: Company) -> Body:
    """A company or network as a title shows it."""
    logo = company.picture("logos")
    return {
        "id": company.id,
        "logo_path": logo,
        "name": company.name,
        "origin_country": company.country,
    }


def season_card(season: Season) -> Body:
    """A season as its series shows it."""
    return {
        "air_date": season.episodes[0].air_date.isoformat(),
        "episode_count": len(season.episodes),
        "id": season.id,
        "name": season.name,
        "overview": season.overview,
        "poster_path": season.picture("posters"),
        "season_number": season.number,
    }


def episode_card(series: Series, episode: Episode) -> Body:
    """An episode as its series shows it."""
    season = next(s for s in series.seasons if episode in s.episodes)
    return {
        "air_date": episode.air_date.isoformat(),
        "episode_number": episode.number,
        "id": episode.id,
        "name": episode.name,
        "overview": episode.overview,
        "production_code": f"{season.number}{episode.number:02d}",
        "season_number": season.number,
        "show_id": series.id,
        "still_path": episode.picture("stills"),
        "vote_average": episode.vote_average,
        "vote_count": episode.vote_count,
    }


def credit_card(world: FilmWorld, credit: Credit) -> Body:
    """A credit as its title shows it."""
    person = world.people[credit.person]
    body = {
        "credit_id": credit.id,
        "gender": person.gender,
        "id": person.id,
        "name": person.name,
        "profile_path": person.picture("profiles"),
    }
    if credit.is_cast:
        return {**body, "character": credit.character, "order": credit.order}
    return {**body, "department": credit.department, "job": credit.job}


def review_card(review: Review) -> Body:
    """A review as its title shows it."""
    url = f"https://www.themoviedb.org/review/{review.id}"
    return {"id": review.id, "author": review.author, "content": review.content, "url": url}


def images(entity: Entity, *kinds: str) -> Body:
    """The pictures of something; logos carry a number and a file type of their own."""
    body: Body = {"id": entity.id}
    for kind in kinds:
        body[kind] = [
            {
                "aspect_ratio": round(image.width / image.height, 15),
                "file_path": image.path,
                "height": image.height,
                "vote_average": image.vote_average,
                "vote_count": image.vote_count,
                "width": image.width,
                **(
                    {"id": image.id, "file_type": ".svg"}
                    if kind == "logos"
                    else {"iso_639_1": image.language}
                ),
            }
            for image in entity.images
            if image.kind == kind
        ]
    return body


def only(body: Body, fields: Iterable[str]) -> Body:
    """Some of the fields."""
    return {field: body[field] for field in fields}
