"""The bound on worlds that can be worked by hand."""

import pytest

from toolmaster.types import Effect
from toolmaster.world.behaviours import PRIOR, OffByOne, Swapped, WrongDefault, WrongTwin
from toolmaster.world.ceiling import ceiling
from toolmaster.world.goals import Goal, Planned, Turn
from toolmaster.world.service import Operation, Param
from toolmaster.world.tasks import WorldTask
from toolmaster.world.values import kind_of
from toolmaster.world.views import View

PLAIN, SILENT = PRIOR["plain"], PRIOR["silent"]
START = {"records": {}, "log": []}
OPERATION = Operation(
    "way",
    "compute",
    "way",
    "The way",
    (
        Param("source", kind_of("city")),
        Param("target", kind_of("city")),
        Param("max_hours", kind_of("integer 1..9")),
        Param("unit", kind_of("km|miles"), required=False, default="km"),
    ),
    Effect.READ,
    lambda _, arguments: dict(sorted(arguments.items())),
    "the way",
)
ARGUMENTS = {"source": "Oslo", "target": "Rome", "max_hours": 5}


def task(possible, views=1):
    result = OPERATION.run(START, OPERATION.complete(ARGUMENTS))
    call = Planned(OPERATION, ARGUMENTS, result, "x")
    params = {param.name: param for param in OPERATION.params}
    shown = tuple(View(OPERATION, f"way{i}", params) for i in range(views))
    goal = Goal("one", (Turn("Which way?", (call,), "x"),), START)
    possible = {"plain": {}, **possible}
    return WorldTask("", goal, shown, {"way": shown}, START, possible, "way", None)


def test_nothing_can_be_hidden():
    assert ceiling(task({})) == 1.0


def test_a_default_can_be_given_without_trying():
    hidden = {"silent": {"wrong default": [WrongDefault("unit", "km", "miles")]}}
    assert ceiling(task(hidden)) == 1.0


def test_of_two_causes_the_likelier_one_is_assumed():
    hidden = {"silent": {"swapped": [Swapped("source", "target")]}}
    assert ceiling(task(hidden)) == pytest.approx(SILENT / (PLAIN + SILENT))


def test_kinds_share_the_weight_of_their_family():
    hidden = {
        "silent": {
            "swapped": [Swapped("source", "target")],
            "off by one": [OffByOne("max_hours", 1)],
            "wrong default": [WrongDefault("unit", "km", "miles")],
        }
    }
    # Right with the default given: plain and a wrong default.
    assert ceiling(task(hidden)) == pytest.approx((PLAIN + SILENT / 3) / (PLAIN + SILENT))


def test_of_twins_one_is_chosen():
    hidden = {"silent": {"wrong twin": [WrongTwin()]}}
    expected = (PLAIN + SILENT / 2) / (PLAIN + SILENT)
    assert ceiling(task(hidden, views=2)) == pytest.approx(expected)


def test_what_is_refused_is_repeated_rightly():
    assert ceiling(task({"loud": {}})) == 1.0
    hidden = {"loud": {}, "silent": {"swapped": [Swapped("source", "target")]}}
    loud = PRIOR["loud"]
    expected = max(PLAIN + loud, SILENT) / (PLAIN + SILENT + loud)
    assert ceiling(task(hidden)) == pytest.approx(expected)


def test_it_lies_below_the_oracle_and_above_chance(worlds):
    world = worlds["short"]
    bounds = [ceiling(world.draw(world.id_of("test", i))) for i in range(60)]
    assert 0.4 < sum(bounds) / len(bounds) < 0.95
