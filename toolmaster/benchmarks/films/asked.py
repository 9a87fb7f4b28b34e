"""What a right answer to a query says, read off the walk along its gold path.

Rules, not a model: a table of words in the query to the values asked for. Where no rule fits there
is no expectation, and the answer is not checked by rule.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from toolmaster.benchmarks.films.requests import Body
from toolmaster.benchmarks.films.walk import JOBS, Stop, chosen, date_of

Walks = Sequence[Sequence[Stop]]


@dataclass(frozen=True, slots=True)
class Expected:
    """What an answer must say: of every group, one of its spellings or values."""

    groups: tuple[tuple[str, ...], ...]

    def met_by(self, answer: str | None) -> bool:
        """Whether an answer says it all. Whole words count, whatever their case."""
        return answer is not None and all(
            any(_says(answer, value) for value in group) for group in self.groups
        )

    def text(self) -> str:
        """An answer that meets it."""
        return ", ".join(group[0] for group in self.groups)


def expected(query: str, walks: Walks, others: Walks = ()) -> Expected | None:
    """What a right answer to the query says.

    Args:
        query: what the user asks.
        walks: along its gold path; see `walk.walk`.
        others: walks that would do as well; what they lead to is accepted too.

    Returns:
        The expectation; None where no rule fits.
    """
    asked = query.lower()
    if UNDECIDED.search(asked):
        return None
    for words, rule in RULES:
        groups = rule(query, walks) if re.search(words, asked) else []
        if not all(groups) or not groups:
            continue
        for other in others:
            groups = [a + b for a, b in zip(groups, rule(query, [other]), strict=False)]
        return Expected(tuple(tuple(group) for group in groups))
    return None


def _says(answer: str, value: str) -> bool:
    if not value:
        return False
    before = r"(?<!\w)" if value[0].isalnum() else ""
    after = r"(?!\w)" if value[-1].isalnum() else ""
    return re.search(before + re.escape(value) + after, answer, re.IGNORECASE) is not None


UNDECIDED = re.compile(r"\band directed by\b|\bolder\b")
"""What the end of a walk does not tell: titles that two people share, and ages."""
Groups = list[list[str]]
Rule = Callable[[str, Walks], Groups]


def _last(walks: Walks) -> Body:
    return walks[-1][-1].body


def _any(values: Sequence[Any]) -> Groups:
    """One of the values will do; those that the service does not know are none."""
    return [[str(value) for value in values if value not in (None, "")]]


def _all(values: Sequence[Any]) -> Groups:
    """Every value is wanted."""
    return [[str(value)] for value in values]


def _day(text: str) -> list[str]:
    """A date in the spellings of an answer."""
    day = date.fromisoformat(text[:10])
    month = f"{day:%B}"
    return [
        text[:10],
        f"{month} {day.day}, {day.year}",
        f"{day.day} {month} {day.year}",
        f"{month} {day.day} {day.year}",
    ]


def _same_person(_query: str, walks: Walks) -> Groups:
    directors = [
        {card["id"] for card in stop.body.get("crew", ()) if card["job"] == "Director"}
        for stop in walks[0]
        if stop.path.endswith("/credits")
    ]
    return _any(["yes" if set.intersection(*directors) else "no"])


def _compared(better: Callable[..., Body], key: Callable[[Body], Any]) -> Rule:
    """The name of the better of the things compared, by a value of the last responses."""

    def rule(_query: str, walks: Walks) -> Groups:
        ends = [walk[-1].body for walk in walks]
        if len(ends) < 2:
            searches = [stop.body for stop in walks[0] if stop.path.startswith("/search")]
            ends = [body["results"][0] for body in searches]
        if len(ends) < 2:
            return []
        winner = better(ends, key=key)
        return _any([winner.get("title") or winner.get("name") or _searched(walks, ends, winner)])

    return rule


def _searched(walks: Walks, ends: list[Body], winner: Body) -> str:
    return str(walks[ends.index(winner)][0].arguments["query"])


def _directed(body: Body) -> int:
    return sum(entry["job"] == "Director" for entry in body["crew"])


def _pictures(_query: str, walks: Walks) -> Groups:
    lists = [value for value in _last(walks).values() if isinstance(value, list)]
    return _any([image["file_path"] for images in lists for image in images])


def _reviews(_query: str, walks: Walks) -> Groups:
    results = _last(walks)["results"]
    return _any([review[field] for review in results for field in ("author", "content")])


def _field(name: str) -> Rule:
    return lambda _query, walks: _any([_last(walks)[name]])


def _names(query: str, walks: Walks) -> Groups:
    """One of the names in the last response."""
    body = _last(walks)
    found = (
        body.get("results") or body.get("keywords") or body.get("cast") or body.get("parts") or []
    )
    if "lead" in query.lower() and "cast" in body:
        found = found[:1]
    return _any([entry.get("title") or entry.get("name") for entry in found])


def _crew(query: str, walks: Walks) -> Groups:
    """Everyone with the job that is asked for; of an episode only where its own crew is known."""
    if "episode" in query.lower() and "{episode_number}" not in walks[-1][-1].path:
        return []
    job = next(job for word, job in JOBS.items() if word in query.lower())
    names = [card["name"] for card in _last(walks).get("crew", ()) if card.get("job") == job]
    return _all(list(dict.fromkeys(names)))


def _count_directed(_query: str, walks: Walks) -> Groups:
    return _any([_directed(_last(walks))])


def _titles_directed(_query: str, walks: Walks) -> Groups:
    body = _last(walks)
    titles = [entry for entry in body["crew"] if entry["job"] == "Director"]
    return _any([title.get("title") or title.get("name") for title in titles])


def _leader(_query: str, walks: Walks) -> Groups:
    """The first of a chart."""
    results = _last(walks).get("results") or [{}]
    return _any([results[0].get("title") or results[0].get("name")])


def _chosen_title(query: str, walks: Walks) -> Groups:
    """The title of a person that the query means."""
    body = _last(walks)
    title = chosen(query, [*body["cast"], *body["crew"]])
    return _any([title.get("title") or title.get("name")])


def _dates(query: str, walks: Walks) -> Groups:
    body = _last(walks)
    if "parts" in body:
        parts = body["parts"][:1] if "first movie" in query.lower() else body["parts"]
        return [_day(part["release_date"]) for part in parts]
    if "release_dates" in walks[-1][-1].path:
        days = [entry["release_date"] for r in body["results"] for entry in r["release_dates"]]
        return [[spelling for day in days for spelling in _day(day)]]
    for name in ("birthday", "air_date"):
        if name in body:
            return [_day(body[name])]
    return [_day(date_of(body))] if date_of(body) else []


def _ends_with(suffix: str, rule: Rule) -> Rule:
    """The rule, where the path ends so; nothing elsewhere."""

    def limited(query: str, walks: Walks) -> Groups:
        return rule(query, walks) if walks[-1][-1].path.endswith(suffix) else []

    return limited


RULES: tuple[tuple[str, Rule], ...] = (
    (r"same person", _same_person),
    (r"earlier release", _compared(min, date_of)),
    (r"higher rating", _compared(max, lambda body: body["vote_average"])),
    (r"directed more", _compared(max, _directed)),
    (r"\b(poster|cover|image|photo|logo|look like)", _ends_with("/images", _pictures)),
    (r"\breviews?\b", _ends_with("/reviews", _reviews)),
    (r"\bhomepage\b", _field("homepage")),
    (r"\b(headquarters?|where .*founded)\b", _field("headquarters")),
    (r"\bwhere was .*born\b", _ends_with("/{person_id}", _field("place_of_birth"))),
    (r"\bkeyword", _ends_with("/keywords", _names)),
    (r"\b(similar|recommend)", _names),
    (r"\b(direct|compose|screenplay)", _ends_with("/credits", _crew)),
    (r"\b(recently|latest|highest rated|most popular)\b", _ends_with("_credits", _chosen_title)),
    (r"\bnumber of movies directed\b", _ends_with("/movie_credits", _count_directed)),
    (r"\bdirected\b", _ends_with("_credits", _titles_directed)),
    (r"\bhow many episodes\b", _ends_with("/{tv_id}", _field("number_of_episodes"))),
    (r"\bhow many seasons\b", _ends_with("/{tv_id}", _field("number_of_seasons"))),
    (r"\b(cast|lead|starred|worked with|played)\b", _ends_with("/credits", _names)),
    (r"\b(when|release dates?|birthday|bitrhday|air date)\b", _dates),
    (r"\b(top-1|most popular)\b", _leader),
)
"""Words of a query to what it asks for; the first that fit and find something."""
