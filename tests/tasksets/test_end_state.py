"""Expected end states: paths into objects, and values compared as JSON."""

import enum
from collections import OrderedDict, namedtuple
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from types import SimpleNamespace

import pytest
from pydantic import BaseModel

from toolmaster.tasksets.end_state import differences


class Colour(enum.Enum):
    RED = "red"


class Person(BaseModel):
    name: str
    tags: set[str] = set()


@dataclass
class Line:
    item: str
    count: int = 1
    notes: set[str] = field(default_factory=set)


@dataclass(slots=True)
class Slim:
    x: int


Point = namedtuple("Point", "x y")


@pytest.fixture
def shop():
    return SimpleNamespace(
        orders=[("Oak Stool", 2), Line("Rug")],
        stock={"Wool Rug": 4, "v1.2": {"a": 1}, 7: "seven"},
        open=True,
        owner=Person(name="Ada", tags={"x", "y"}),
        slim=Slim(3),
        point=Point(1, 2),
        colour=Colour.RED,
        price=Decimal("13.25"),
        total=0.1 + 0.2,
        day=date(2023, 5, 1),
        ids={3, 1},
        nothing=None,
        name="Corner",
    )


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("orders", [["Oak Stool", 2], {"item": "Rug", "count": 1, "notes": []}]),
        ("orders.0", ["Oak Stool", 2]),
        ("orders.0.1", 2),
        ("orders.-1.item", "Rug"),
        ("stock.Wool Rug", 4),
        ("stock.Wool Rug", 4.0),
        ("stock.v1.2.a", 1),
        ("stock.v1.2", {"a": 1}),
        ("stock.7", "seven"),
        ("stock", {"Wool Rug": 4, "v1.2": {"a": 1}, "7": "seven"}),
        ("open", True),
        ("owner.name", "Ada"),
        ("owner", {"tags": ["y", "x"], "name": "Ada"}),
        ("slim", {"x": 3}),
        ("point", [1, 2]),
        ("point.y", 2),
        ("colour", "red"),
        ("price", 13.25),
        ("total", 0.3),
        ("day", "2023-05-01"),
        ("ids", [1, 3]),
        ("nothing", None),
        ("owner.tags", ["x", "y"]),
    ],
)
def test_what_is_right(shop, path, value):
    assert differences(shop, {path: value}) == []


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        ("stock.Wool Rug", 3, "stock.Wool Rug is 4"),
        ("stock.Wool Rug", "4", "stock.Wool Rug is 4"),
        ("stock.Rug", 4, "stock.Rug is not there"),
        ("stock.v1.2", {}, 'stock.v1.2 is {"a": 1}'),
        ("orders.2", None, "orders.2 is not there"),
        ("orders.x", None, "orders.x is not there"),
        ("orders.0.item", "Oak Stool", "orders.0.item is not there"),
        ("orders", [], None),
        ("orders.append", None, "orders.append is not there"),
        ("open", 1, "open is true"),
        ("open", "true", "open is true"),
        ("name", "corner", "name is Corner"),
        ("name.0", "C", "name.0 is not there"),
        ("name", {}, "name is Corner"),
        ("name", ["C"], "name is Corner"),
        ("nothing", {}, "nothing is null"),
        ("nothing", False, "nothing is null"),
        ("total", 0.30001, "total is 0.30000000000000004"),
        ("ids", [1, 1], None),
        ("ids", [1], None),
        ("point", [2, 1], "point is [1, 2]"),
        ("owner", {"name": "Ada"}, None),
        ("day", "2023-05-02", "day is 2023-05-01"),
        ("", 1, " is not there"),
    ],
)
def test_what_is_wrong(shop, path, value, said):
    [line] = differences(shop, {path: value})
    assert said is None or line == said


def test_every_path_is_told_of():
    state = OrderedDict(a=1, b=2, c=3)
    assert differences(state, {"a": 1, "b": 3, "d": 4}) == ["b is 2", "d is not there"]
    assert differences([{"a": [1, {"b": 2}]}], {"0.a.1.b": 2}) == []
    assert differences(None, {"a": None}) == ["a is not there"]
