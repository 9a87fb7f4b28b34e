"""The film world: people, films, series and what links them, all drawn from one seed.

Everything is consistent: a credit seen from the film is the credit seen from the person, the
director of an episode is in the crew of its season, the parts of a collection know it. `TODAY`
stands still, so that what is on the air stays on the air.
"""

from __future__ import annotations

import random
import tomllib
from datetime import date, timedelta
from functools import lru_cache
from importlib import resources
from typing import Any

from toolmaster.benchmarks.films.casting import Casting
from toolmaster.benchmarks.films.entities import (
    Collection,
    Company,
    Credit,
    Episode,
    Image,
    Movie,
    Person,
    Season,
    Series,
)

TODAY = date(2024, 6, 15)
MOVIES = 260
SERIES = 100
PEOPLE = 320
SIZES = {
    "posters": (1000, 1500),
    "backdrops": (1920, 1080),
    "profiles": (600, 900),
    "logos": (500, 200),
    "stills": (1280, 720),
}
"""Kind of picture to width and height in pixels."""
OFFERS = ("flatrate", "free", "ads", "rent", "buy")
BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


@lru_cache(maxsize=1)
def vocabulary() -> dict[str, Any]:
    """The lists of `names.toml`."""
    text = resources.files("toolmaster.benchmarks.films").joinpath("names.toml").read_text("utf-8")
    return tomllib.loads(text)


class FilmWorld:
    """Everything there is, by number.

    Args:
        seed: the same seed gives the same world on every machine.
    """

    def __init__(self, seed: int = 0) -> None:
        self._random = random.Random(f"films/{seed}")
        self._names = vocabulary()
        self.movie_genres = {int(key): name for key, name in self._names["movie_genres"].items()}
        self.tv_genres = {int(key): name for key, name in self._names["tv_genres"].items()}
        self.keywords = dict(zip(self._numbers(30), self._names["keywords"], strict=True))
        self.companies = self._make_companies(self._names["companies"])
        self.networks = self._make_companies(self._names["networks"])
        self.people: dict[int, Person] = {}
        self._make_people()
        self.movies: dict[int, Movie] = {}
        self.collections: dict[int, Collection] = {}
        self._make_movies()
        self.series: dict[int, Series] = {}
        self._make_series()
        casting = Casting(self._random, self._names, self.people, self.movies, self.series)
        self.credits = casting.credits
        self.reviews = casting.reviews
        self._casting = casting

    def credits_of(self, media_type: str, media: int) -> list[Credit]:
        """All credits of a film (`movie`) or a series (`tv`), in order."""
        return self._casting.of[media_type, media]

    def credits_by(self, person: int, media_type: str) -> list[Credit]:
        """All credits of a person, in films or in series."""
        return self._casting.by[person, media_type]

    def _numbers(self, count: int) -> list[int]:
        return self._random.sample(range(101, 99_999), count)

    def _hex(self) -> str:
        return f"{self._random.getrandbits(96):024x}"

    def _images(self, **counts: int) -> list[Image]:
        draw = self._random
        return [
            Image(
                kind=kind,
                id=self._hex(),
                path=f"/{''.join(draw.choices(BASE62, k=27))}"
                + (".png" if kind == "logos" else ".jpg"),
                width=SIZES[kind][0],
                height=SIZES[kind][1],
                language=draw.choice(("en", None)) if kind != "profiles" else None,
                vote_average=round(draw.uniform(4, 6), 3),
                vote_count=draw.randrange(1, 30),
            )
            for kind, count in counts.items()
            for _ in range(count)
        ]

    def _make_companies(self, names: list[str]) -> dict[int, Company]:
        companies = {}
        for number, name in zip(self._numbers(len(names)), names, strict=True):
            country = self._random.choice(list(self._names["countries"]))
            place = self._random.choice(self._names["places"])
            companies[number] = Company(
                number,
                name,
                self._images(logos=self._random.randint(1, 3)),
                headquarters=f"{place}, {self._names['countries'][country]}",
                country=country,
                homepage=f"https://www.{name.lower().replace(' ', '')}.example",
            )
        return companies

    def _make_people(self) -> None:
        draw, names = self._random, self._names
        everyone = [
            f"{first} {last}" for first in names["first_names"] for last in names["last_names"]
        ]
        known = [*names["directors"], *names["actors"]]
        invented = draw.sample(everyone, PEOPLE - len(known))
        for number, name in zip(self._numbers(PEOPLE), known + invented, strict=True):
            born = date(1930, 1, 1) + timedelta(days=draw.randrange(27_000))
            died = draw.random() < 0.05 and born.year < 1960
            self.people[number] = Person(
                number,
                name,
                self._images(profiles=draw.randint(1, 3)),
                department="Directing" if name in names["directors"] else "Acting",
                gender=draw.choice((1, 2)),
                birthday=born,
                deathday=date(2010, 1, 1) + timedelta(days=draw.randrange(4000)) if died else None,
                birthplace=f"{draw.choice(names['places'])}, "
                + draw.choice(list(names["countries"].values())),
                popularity=round(draw.uniform(0.6, 60), 3),
                aliases=[name.upper()],
            )
        for person in list(self.people.values())[len(known) : len(known) + 60]:
            person.department = draw.choice(
                ("Directing", "Writing", "Production", "Sound", "Camera")
            )

    def _title(self, genres: dict[int, str]) -> dict[str, Any]:
        """The fields that films and series share."""
        draw, names = self._random, self._names
        who = f"{draw.choice(names['first_names'])} {draw.choice(names['last_names'])}"
        keywords = draw.sample(sorted(self.keywords), 3)
        about = " and ".join(self.keywords[number] for number in keywords[:2])
        return {
            "overview": f"{who} comes to {draw.choice(names['places'])}: a story of {about}.",
            "tagline": draw.choice(("Nothing stays hidden.", "Some doors close once.", "")),
            "genres": draw.sample(sorted(genres), draw.randint(1, 3)),
            "keywords": keywords,
            "companies": draw.sample(sorted(self.companies), draw.randint(1, 2)),
            "language": draw.choice(("en", "en", "en", *names["languages"])),
            "country": draw.choice(list(names["countries"])),
            "popularity": round(draw.uniform(0.6, 200), 3),
            "vote_average": round(draw.uniform(4.0, 9.0), 1),
            "vote_count": draw.randrange(20, 9000),
            "providers": frozenset(draw.sample((8, 9, 15, 337, 350), 2)),
            "offers": frozenset(draw.sample(OFFERS, 2)),
        }

    def _invented_titles(self, count: int, taken: set[str]) -> list[str]:
        names = self._names
        every = [f"The {a} {n}" for a in names["adjectives"] for n in names["nouns"]]
        return self._random.sample([title for title in every if title not in taken], count)

    def _make_movies(self) -> None:
        draw, names = self._random, self._names
        parts = [title for titles in names["collections"].values() for title in titles]
        known = [*names["movies"], *parts]
        titles = known + self._invented_titles(MOVIES - len(known), set())
        for number, title in zip(self._numbers(MOVIES), titles, strict=True):
            released = self._release_date() if title not in known else self._old_date()
            movie = Movie(
                number,
                title,
                self._images(posters=draw.randint(1, 4), backdrops=draw.randint(1, 3)),
                **self._title(self.movie_genres),
                runtime=draw.randrange(80, 190),
                budget=draw.randrange(1, 200) * 1_000_000,
                revenue=draw.randrange(1, 900) * 1_000_000,
            )
            self._release(movie, released)
            self.movies[number] = movie
        by_title = {movie.name: movie for movie in self.movies.values()}
        for number, (name, titles) in zip(
            self._numbers(len(names["collections"])), names["collections"].items(), strict=True
        ):
            self._make_collection(number, name, [by_title[title] for title in titles])

    def _make_collection(self, number: int, name: str, parts: list[Movie]) -> None:
        first = self._old_date()
        for index, movie in enumerate(parts):
            movie.collection = number
            self._release(movie, first + timedelta(days=900 * index + self._random.randrange(90)))
        self.collections[number] = Collection(
            number,
            f"{name} Collection",
            self._images(posters=2, backdrops=2),
            overview=f"{len(parts)} films that belong together.",
            parts=[movie.id for movie in parts],
        )

    def _old_date(self) -> date:
        return date(1970, 1, 1) + timedelta(days=self._random.randrange(17_000))

    def _release_date(self) -> date:
        """Mostly long ago; a tenth in cinemas now, a tenth to come."""
        chance = self._random.random()
        if chance < 0.1:
            return TODAY - timedelta(days=self._random.randrange(40))
        if chance < 0.2:
            return TODAY + timedelta(days=self._random.randrange(2, 28))
        return self._old_date()

    def _release(self, movie: Movie, released: date) -> None:
        """Date a film: at home first, abroad within two weeks."""
        draw, certificates = self._random, self._names["certifications"]
        movie.release_date = released
        strictness = draw.random()
        abroad = draw.sample([code for code in certificates if code != movie.country], 2)
        movie.releases = {
            code: (
                certificates[code][int(strictness * len(certificates[code]))],
                draw.choice((2, 3, 3)),
                released + timedelta(days=7 * index),
            )
            for index, code in enumerate([movie.country, *abroad])
        }

    def _make_series(self) -> None:
        draw, names = self._random, self._names
        taken = {movie.name for movie in self.movies.values()}
        known = names["series"]
        titles = known + self._invented_titles(SERIES - len(known), taken)
        for index, (number, title) in enumerate(zip(self._numbers(SERIES), titles, strict=True)):
            airing = index % 5 == 4
            series = Series(
                number,
                title,
                self._images(posters=draw.randint(1, 4), backdrops=draw.randint(1, 3)),
                **self._title(self.tv_genres),
                runtime=draw.choice((25, 30, 45, 60)),
                networks=draw.sample(sorted(self.networks), 1),
                status="Returning Series" if airing else draw.choice(("Ended", "Canceled")),
                type=draw.choice(("Scripted", "Scripted", "Miniseries", "Reality", "Documentary")),
            )
            count = draw.randint(3, 5) if title in known else draw.randint(1, 4)
            start = date(1995, 1, 1) + timedelta(days=draw.randrange(8000))
            for season in range(1, count + 1):
                if airing and season == count:  # its second or third episode is due this week
                    start = TODAY - timedelta(
                        days=7 * draw.randint(1, 2) - draw.choice((0, 0, 1, 3))
                    )
                series.seasons.append(self._make_season(season, start))
                start += timedelta(days=400)
            self.series[number] = series

    def _make_season(self, number: int, start: date) -> Season:
        draw, names = self._random, self._names
        count = draw.randint(6, 10)
        season_id, *numbers = (300_000 + draw.randrange(10**7) for _ in range(count + 1))
        episodes = [
            Episode(
                episode_id,
                f"{draw.choice(names['adjectives'])} {draw.choice(names['nouns'])}",
                self._images(stills=draw.randint(1, 3)),
                number=index,
                air_date=start + timedelta(days=7 * (index - 1)),
                overview=f"{draw.choice(names['first_names'])} finds the "
                f"{draw.choice(names['nouns']).lower()} and must choose.",
                vote_average=round(draw.uniform(5, 9.5), 3),
                vote_count=draw.randrange(1, 200),
            )
            for index, episode_id in enumerate(numbers, 1)
        ]
        pictures = self._images(posters=draw.randint(1, 3))
        text = f"Season {number}, {count} episodes."
        return Season(season_id, f"Season {number}", pictures, number, text, episodes)
