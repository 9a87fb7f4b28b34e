"""Kinds of values: how one is drawn, what its JSON schema is, and how a request says it.

A kind is named in a specification as `person`, `integer 1..60 minutes` or `open|closed`. Names are
drawn from word lists, from their combinations, and from invented syllables, so that a model has to
copy them and cannot learn them.
"""

from __future__ import annotations

import datetime as dt
import random
import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import jsonschema_rs

from toolmaster.errors import InputError, did_you_mean

Draw = Callable[[random.Random], Any]
Say = Callable[[random.Random, Any], str]
INVENTED_SHARE = 0.15
"""Share of names that are made of syllables."""
QUOTED_SHARE = 0.7
"""Share of names and texts that a request puts in quotation marks."""
_ONSETS = "b br c ch d dr f fl g gr h j k kl l m n p pr r s sh st t th tr v w y z".split()
_VOWELS = "a e i o u a e i o u ai ea oo".split()
_CODAS = ["", "", "", *"ck d l m n nd ng r rt s sk t th x".split()]
_SMALL = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen"
    " sixteen seventeen eighteen nineteen twenty"
).split()
_MONTHS = (
    "January February March April May June July August September October November December".split()
)


@lru_cache
def data(name: str) -> dict[str, Any]:
    """Return the content of a TOML file of this folder."""
    return tomllib.loads(Path(__file__).with_name(f"{name}.toml").read_text(encoding="utf-8"))


@lru_cache(maxsize=1)
def words() -> Mapping[str, tuple[str, ...]]:
    """Return the word lists by name."""
    return {name: tuple(text.split()) for name, text in data("words").items()}


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of values.

    Args:
        name: what a specification calls it.
        schema: the JSON schema of its values.
        draw: draws a value.
        say: writes a value as a request says it, such as "3 May 2024" for "2024-05-03".
        unit: what a number counts, as in "40 minutes"; "" for none.
    """

    name: str
    schema: Mapping[str, Any]
    draw: Draw
    say: Say = lambda _, value: str(value)
    unit: str = ""

    @property
    def type(self) -> str:
        """The JSON type of its values."""
        return str(self.schema["type"])

    def accepts(self, value: Any) -> bool:
        """Return whether a value is of its type, and one of its choices if it has any."""
        return jsonschema_rs.is_valid(dict(self.schema), value)

    def others(self, value: Any, rng: random.Random) -> Any:
        """Draw a value that differs from `value`; the same where the kind has no other."""
        for _ in range(20):
            other = self.draw(rng)
            if other != value:
                return other
        return value


_SHAPES: Mapping[str, list[str]] = data("wording")["value"]


def invented(rng: random.Random, syllables: int = 0) -> str:
    """Return a word that does not exist, in lower case."""
    count = syllables or rng.choice((2, 2, 3))
    parts = [rng.choice(_ONSETS) + rng.choice(_VOWELS) + rng.choice(_CODAS) for _ in range(count)]
    return "".join(parts)


def _pick(*lists: str) -> Draw:
    def draw(rng: random.Random) -> str:
        if rng.random() < INVENTED_SHARE:
            return invented(rng).capitalize()
        return rng.choice(words()[rng.choice(lists)])

    return draw


def _person(rng: random.Random) -> str:
    return f"{rng.choice(words()['first'])} {_pick('last')(rng)}"


def _product(rng: random.Random) -> str:
    first = rng.choice(words()[rng.choice(("adjective", "word"))])
    return f"{first} {rng.choice(words()['thing'])}".title()


def _title(rng: random.Random) -> str:
    listed = words()
    adjective, thing = rng.choice(listed["adjective"]), rng.choice(listed["thing"])
    shape = rng.choice(_SHAPES["title"])
    shape = shape.replace("{t}s", "{t}es") if thing.endswith(("s", "x", "ch", "sh")) else shape
    return shape.format(
        a=adjective,
        t=thing,
        w=rng.choice(listed["word"]),
        v=rng.choice(listed["topic"]),
        c=rng.choice(listed["city"]),
    ).title()


def _company(rng: random.Random) -> str:
    first = rng.choice((_pick("last"), _pick("word")))(rng).capitalize()
    return f"{first} {rng.choice(words()['company_end'])}"


def _say_name(rng: random.Random, value: Any) -> str:
    return f'"{value}"' if rng.random() < QUOTED_SHARE else str(value)


def _text(rng: random.Random) -> str:
    listed = words()
    shape = rng.choice(_SHAPES["text"])
    return shape.format(
        t=rng.choice(("the", "my", "our")),
        x=rng.choice(listed["thing"]),
        y=rng.choice(listed["thing"]),
        a=rng.choice(listed["adjective"]),
        n=rng.choice(listed["first"]),
        v=rng.choice(listed["topic"]),
        w=rng.choice(listed["word"]),
    )


def _date(rng: random.Random) -> str:
    return (dt.date(2023, 1, 1) + dt.timedelta(days=rng.randrange(1095))).isoformat()


def _say_date(rng: random.Random, value: Any) -> str:
    day = dt.date.fromisoformat(str(value))
    month = _MONTHS[day.month - 1]
    ending = "th" if 10 < day.day < 14 else {1: "st", 2: "nd", 3: "rd"}.get(day.day % 10, "th")
    shapes = (
        str(value),
        f"{day.day} {month} {day.year}",
        f"{month} {day.day}, {day.year}",
        f"the {day.day}{ending} of {month} {day.year}",
        f"{month} {day.day}{ending}, {day.year}",
    )
    return rng.choice(shapes)


def _time(rng: random.Random) -> str:
    return f"{rng.randrange(7, 22):02}:{rng.choice(('00', '15', '30', '45'))}"


def _say_time(rng: random.Random, value: Any) -> str:
    hour, minute = int(str(value)[:2]), str(value)[3:]
    half = "am" if hour < 12 else "pm"
    short = f"{(hour - 1) % 12 + 1}" + ("" if minute == "00" else f":{minute}")
    return rng.choice((str(value), f"{short} {half}", f"{short}{half}"))


def say_number(rng: random.Random, value: Any) -> str:
    """Write a number as people do: "five", "1,200" or the digits."""
    if isinstance(value, int) and 0 <= value <= 20 and rng.random() < 0.35:
        return _SMALL[value]
    if abs(value) >= 1000 and rng.random() < 0.5:
        return f"{value:,}"
    return f"{value}"


def _code(rng: random.Random) -> str:
    letters = "".join(rng.choice("ABCDEFGHJKLMNPRSTUVWXYZ") for _ in range(rng.choice((1, 2, 3))))
    return f"{letters}{rng.choice(('-', '', '-'))}{rng.randrange(100, 99999)}"


def _email(rng: random.Random) -> str:
    name = _person(rng).lower().replace(" ", rng.choice((".", "-", "")))
    return f"{name}@{rng.choice((invented(rng), rng.choice(words()['word'])))}.com"


_STRINGS: Mapping[str, tuple[Draw, Say | None, str]] = {
    "person": (_person, _say_name, ""),
    "firstname": (_pick("first"), _say_name, ""),
    "city": (_pick("city"), _say_name, ""),
    "country": (lambda rng: rng.choice(words()["country"]), None, ""),
    "product": (_product, _say_name, ""),
    "title": (_title, _say_name, ""),
    "company": (_company, _say_name, ""),
    "text": (_text, _say_name, ""),
    "topic": (_pick("topic"), _say_name, ""),
    "word": (_pick("word", "thing", "topic"), _say_name, ""),
    "colour": (lambda rng: rng.choice(words()["colour"]), None, ""),
    "language": (lambda rng: rng.choice(words()["language"]), None, ""),
    "currency": (lambda rng: rng.choice(words()["currency"]), None, ""),
    "code": (_code, None, ""),
    "digits": (lambda rng: str(rng.randint(1, 500)), None, ""),
    "email": (_email, None, ""),
    "url": (lambda rng: f"https://{invented(rng)}.{rng.choice(('com', 'org', 'io'))}", None, ""),
    "street": (lambda rng: f"{rng.randrange(1, 200)} {_pick('last')(rng)} Street", None, ""),
    "date": (_date, _say_date, "date"),
    "time": (_time, _say_time, ""),
}
"""Kinds of text: how drawn, how said, and the `format` of the schema."""

_RANGE = re.compile(
    r"(integer|number)(?: (-?\d+(?:\.\d+)?)\.\.(-?\d+(?:\.\d+)?))?(?: ([^\d=-].*))?"
)


def kind_of(named: str) -> Kind:
    """Return the kind that a specification names.

    Args:
        named: `person`, `date` or another kind of text; `integer`, `integer 1..60 minutes`,
            `number 0.5..99 dollars`; `boolean`; `a|b|c` for an enum; `list of KIND`.

    Raises:
        InputError: there is no such kind.
    """
    if named.startswith("list of "):
        item = kind_of(named.removeprefix("list of "))
        if item.type == "array":
            raise InputError(f"a list holds no lists, got {named!r}")
        return list_of(item)
    if "|" in named:
        choices = named.split("|")
        if any(not one or one != one.strip() or choices.count(one) > 1 for one in choices):
            raise InputError(f"expected different words with | and no spaces, got {named!r}")
        return enum_of(tuple(choices))
    if named == "boolean":
        draw_one, say_one = (lambda rng: rng.random() < 0.5), (lambda _, v: "yes" if v else "no")
        return Kind(named, {"type": "boolean"}, draw_one, say_one)
    if named in _STRINGS:
        draw, say, form = _STRINGS[named]
        schema = {"type": "string", **({"format": form} if form else {})}
        return Kind(named, schema, draw, say or (lambda _, value: str(value)))
    numeric = _RANGE.fullmatch(named)
    if numeric is None:
        numbers = "integer 1..60 UNIT, number 0.5..9 UNIT"
        allowed = f"{', '.join(_STRINGS)}, {numbers}, boolean, a|b|c, list of KIND"
        hint = did_you_mean(named, _STRINGS)
        raise InputError(f"there is no kind of values {named!r}{hint}; allowed: {allowed}")
    whole = numeric[1] == "integer"
    low, high = float(numeric[2] or 1), float(numeric[3] or 500)
    if low > high or (whole and not (low.is_integer() and high.is_integer())):
        raise InputError(f"expected LOW..HIGH, in whole numbers for integers, got {named!r}")
    return number_of(low, high, whole=whole, unit=numeric[4] or "")


def number_of(low: float, high: float, *, whole: bool, unit: str = "") -> Kind:
    """Return the kind of numbers from `low` to `high`."""

    def draw(rng: random.Random) -> int | float:
        if whole:
            return rng.randint(int(low), int(high))
        value = round(rng.uniform(low, high), rng.choice((1, 2)))
        return int(value) if value == int(value) else value

    def say(rng: random.Random, value: Any) -> str:
        return f"{say_number(rng, value)} {unit.removesuffix('s') if value == 1 else unit}".rstrip()

    kind = "integer" if whole else "number"
    return Kind(kind, {"type": kind}, draw, say, unit)


def enum_of(options: tuple[Any, ...]) -> Kind:
    """Return the kind of one of several words; a request says "in progress" for "in_progress"."""

    def say(_: random.Random, value: Any) -> str:
        text = str(value)
        return text if re.search(r"\d", text) else re.sub(r"[_-]", " ", text)

    type_ = "string" if all(isinstance(one, str) for one in options) else "integer"
    return Kind("enum", {"type": type_, "enum": list(options)}, lambda r: r.choice(options), say)


def list_of(item: Kind) -> Kind:
    """Return the kind of one to three different values of another kind."""

    def draw(rng: random.Random) -> list[Any]:
        drawn = [item.draw(rng) for _ in range(rng.choice((1, 2, 2, 3)))]
        return list(dict.fromkeys(drawn))

    def say(rng: random.Random, value: Any) -> str:
        said = [item.say(rng, one) for one in value]
        return said[0] if len(said) == 1 else f"{', '.join(said[:-1])} and {said[-1]}"

    return Kind("list", {"type": "array", "items": dict(item.schema)}, draw, say)
