"""Who made what: the credits and reviews of a film world."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Collection as Group
from collections.abc import Mapping
from typing import Any

from toolmaster.benchmarks.films.entities import Credit, Movie, Person, Review, Series

Names = Mapping[str, Any]


class Casting:
    """The credits of a world and its reviews.

    Args:
        draw: the world's chance.
        names: its vocabulary.
        people: everyone there is.
        movies: all films.
        series: all series.
    """

    def __init__(
        self,
        draw: random.Random,
        names: Names,
        people: Mapping[int, Person],
        movies: Mapping[int, Movie],
        series: Mapping[int, Series],
    ) -> None:
        self.credits: dict[str, Credit] = {}
        self.of: defaultdict[tuple[str, int], list[Credit]] = defaultdict(list)
        self.by: defaultdict[tuple[int, str], list[Credit]] = defaultdict(list)
        self.reviews: dict[str, Review] = {}
        self._draw, self._names, self._people = draw, names, people
        departments: defaultdict[str, list[int]] = defaultdict(list)
        for person in people.values():
            departments[person.department].append(person.id)
        self._directors = departments.pop("Directing")
        self._actors = departments.pop("Acting")
        self._crew = [number for numbers in departments.values() for number in numbers]
        self._cast_movies(movies)
        for number, cast in self._casts(series, each=3).items():
            self._cast_series(series[number], cast)
        for movie in movies.values():
            self._review("movie", movie.id, movie.name)
        for one in series.values():
            self._review("tv", one.id, one.name)

    def _hex(self) -> str:
        return f"{self._draw.getrandbits(96):024x}"

    def _credit(self, person: int, media_type: str, media: int, **rest: Any) -> None:
        credit = Credit(self._hex(), person, media_type, media, **rest)
        self.credits[credit.id] = credit
        self.of[media_type, media].append(credit)
        self.by[person, media_type].append(credit)

    def _play(self, person: int, media_type: str, media: int, order: int, **rest: Any) -> None:
        first, last = (self._draw.choice(self._names[key]) for key in ("first_names", "last_names"))
        part = {"department": "Acting", "job": "Actor", "character": f"{first} {last}"}
        self._credit(person, media_type, media, order=order, **part, **rest)

    def _shares(
        self, known: Group[str], titles: Mapping[int, Any], each: int
    ) -> dict[int, list[int]]:
        """Title to the well-known people it gets; everyone is in `each` titles."""
        shares: dict[int, list[int]] = {number: [] for number in titles}
        for person in self._people.values():
            if person.name in known:
                for title in self._draw.sample(list(titles), each):
                    shares[title].append(person.id)
        return shares

    def _casts(self, titles: Mapping[int, Any], each: int) -> dict[int, list[int]]:
        """Title to its actors, the well-known ones first."""
        stars = self._shares(self._names["actors"], titles, each)
        return {
            number: list(
                dict.fromkeys(
                    [*stars[number], *self._draw.sample(self._actors, self._draw.randint(4, 8))]
                )
            )
            for number in titles
        }

    def _cast_movies(self, movies: Mapping[int, Movie]) -> None:
        masters = self._shares(self._names["directors"], movies, each=5)
        for number, cast in self._casts(movies, each=6).items():
            for order, person in enumerate(cast):
                self._play(person, "movie", number, order)
            for job, department in self._names["crew"].items():
                candidates = self._crew
                if job == "Director":
                    candidates = masters[number][:1] or self._directors
                person = self._draw.choice(candidates)
                self._credit(person, "movie", number, department=department, job=job)

    def _cast_series(self, series: Series, cast: list[int]) -> None:
        """The creator writes every episode, three directors share them, each has guests."""
        draw, number = self._draw, series.id
        creator, *staff = draw.sample(self._directors, 4)
        self._credit(creator, "tv", number, department="Creator", job="Creator")
        self._credit(creator, "tv", number, department="Production", job="Executive Producer")
        for order, person in enumerate(cast):
            self._play(person, "tv", number, order)
        others = [person for person in self._actors if person not in cast]
        for season in series.seasons:
            for episode in season.episodes:
                of = {"season": season.number, "episode": episode.number}
                director = draw.choice(staff)
                self._credit(director, "tv", number, department="Directing", job="Director", **of)
                self._credit(creator, "tv", number, department="Writing", job="Writer", **of)
                for order, guest in enumerate(draw.sample(others, draw.randint(1, 2))):
                    self._play(guest, "tv", number, order, **of)

    def _review(self, media_type: str, number: int, name: str) -> None:
        draw, names = self._draw, self._names
        for praise in draw.sample(names["praise"], draw.randint(1, 3)):
            author = f"{draw.choice(names['first_names'])} {draw.choice(names['last_names'])}"
            text = f"{praise} {name} deserves a second look."
            review = Review(self._hex(), media_type, number, author, text)
            self.reviews[review.id] = review
