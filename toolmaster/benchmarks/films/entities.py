"""What the film world is made of: plain records, linked by their numbers."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date


@dataclass(frozen=True, slots=True)
class Image:
    """A picture of something; `kind` is the list it stands in, such as `posters`."""

    kind: str
    id: str
    path: str
    width: int
    height: int
    language: str | None
    vote_average: float
    vote_count: int


@dataclass(slots=True)
class Entity:
    """Anything with a number, a name and pictures."""

    id: int
    name: str
    images: list[Image] = field(default_factory=list)

    def picture(self, kind: str) -> str | None:
        """The path of its first picture of a kind."""
        return next((image.path for image in self.images if image.kind == kind), None)


@dataclass(slots=True)
class Company(Entity):
    """A production company or a television network."""

    headquarters: str = ""
    country: str = ""
    homepage: str = ""


@dataclass(slots=True)
class Person(Entity):
    """Someone with credits."""

    department: str = "Acting"
    gender: int = 0
    birthday: date = date.min
    deathday: date | None = None
    birthplace: str = ""
    popularity: float = 0.0
    aliases: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Title(Entity):
    """What films and series share."""

    overview: str = ""
    tagline: str = ""
    genres: list[int] = field(default_factory=list)
    keywords: list[int] = field(default_factory=list)
    companies: list[int] = field(default_factory=list)
    language: str = "en"
    country: str = "US"
    popularity: float = 0.0
    vote_average: float = 0.0
    vote_count: int = 0
    runtime: int = 0
    """Minutes; of an episode, for a series."""
    providers: frozenset[int] = frozenset()
    offers: frozenset[str] = frozenset()
    """How it can be watched: flatrate, free, ads, rent, buy."""


@dataclass(slots=True)
class Movie(Title):
    """A film."""

    release_date: date = date.min
    budget: int = 0
    revenue: int = 0
    collection: int | None = None
    releases: dict[str, tuple[str, int, date]] = field(default_factory=dict)
    """Country to certificate, release type (2 limited, 3 theatrical, 4 digital) and date."""


@dataclass(slots=True)
class Episode(Entity):
    """One episode."""

    number: int = 0
    air_date: date = date.min
    overview: str = ""
    vote_average: float = 0.0
    vote_count: int = 0


@dataclass(slots=True)
class Season(Entity):
    """One season; `number` counts from 1."""

    number: int = 0
    overview: str = ""
    episodes: list[Episode] = field(default_factory=list)


@dataclass(slots=True)
class Series(Title):
    """A television show."""

    networks: list[int] = field(default_factory=list)
    seasons: list[Season] = field(default_factory=list)
    status: str = "Ended"
    type: str = "Scripted"

    def episodes(self) -> list[Episode]:
        """All episodes in order."""
        return [episode for season in self.seasons for episode in season.episodes]

    @property
    def first_air_date(self) -> date:
        """When the first episode was shown."""
        return self.seasons[0].episodes[0].air_date


@dataclass(slots=True)
class Collection(Entity):
    """Films that belong together, in order of release."""

    overview: str = ""
    parts: list[int] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Credit:
    """One person's part in one title; `season` and `episode` are set where it is of that only."""

    id: str
    person: int
    media_type: str
    media: int
    department: str
    job: str
    character: str | None = None
    order: int = 0
    season: int | None = None
    episode: int | None = None

    @property
    def is_cast(self) -> bool:
        """Whether it is a part played."""
        return self.character is not None


@dataclass(frozen=True, slots=True)
class Review:
    """What a visitor wrote about a title."""

    id: str
    media_type: str
    media: int
    author: str
    content: str
