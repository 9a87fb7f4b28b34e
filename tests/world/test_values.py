import datetime as dt
import random
import re

import jsonschema_rs
import pytest

from toolmaster.errors import InputError
from toolmaster.world.values import kind_of, say_number

NAMES = (
    "person",
    "city",
    "product",
    "title",
    "company",
    "date",
    "time",
    "code",
    "email",
    "integer 1..9",
    "number 0.5..9 euros",
    "boolean",
    "open|in_progress",
    "list of person",
)


@pytest.mark.parametrize("name", NAMES)
def test_what_is_drawn_fits_the_schema(name):
    kind = kind_of(name)
    rng = random.Random(1)
    for _ in range(50):
        value = kind.draw(rng)
        assert jsonschema_rs.validator_for(dict(kind.schema)).is_valid(value)
        assert kind.say(rng, value)


def test_names_are_more_than_can_be_learned():
    rng = random.Random(2)
    assert len({kind_of("person").draw(rng) for _ in range(2000)}) > 1800
    assert len({kind_of("product").draw(rng) for _ in range(2000)}) > 1800


def test_a_date_is_said_in_several_ways_that_mean_the_day():
    kind, rng = kind_of("date"), random.Random(3)
    said = {kind.say(rng, "2024-05-03") for _ in range(60)}
    assert said == {
        "2024-05-03",
        "3 May 2024",
        "May 3, 2024",
        "the 3rd of May 2024",
        "May 3rd, 2024",
    }
    assert {kind.say(rng, "2024-05-12") for _ in range(60)} >= {"the 12th of May 2024"}
    assert dt.date.fromisoformat(kind.draw(rng))


def test_a_time_is_said_with_twelve_hours():
    kind, rng = kind_of("time"), random.Random(4)
    assert {kind.say(rng, "17:15") for _ in range(30)} == {"17:15", "5:15 pm", "5:15pm"}
    assert {kind.say(rng, "12:00") for _ in range(30)} == {"12:00", "12 pm", "12pm"}


def test_numbers_are_said_as_people_do():
    rng = random.Random(5)
    assert {say_number(rng, 5) for _ in range(40)} == {"5", "five"}
    assert {say_number(rng, 1200) for _ in range(40)} == {"1200", "1,200"}
    assert say_number(rng, 2.5) == "2.5"
    assert re.fullmatch(r"(\d+|[a-z]+) nights", kind_of("integer 1..9 nights").say(rng, 3))


def test_lists_and_choices_are_said_in_words():
    rng = random.Random(6)
    assert kind_of("open|in_progress").say(rng, "in_progress") == "in progress"
    assert kind_of("v1|2019-05-05-preview").say(rng, "2019-05-05-preview") == "2019-05-05-preview"
    said = kind_of("list of person").say(rng, ["Ada", "Bo", "Cy"])
    assert said.replace('"', "") == "Ada, Bo and Cy"


def test_others_differ():
    rng = random.Random(7)
    assert all(kind_of("a|b").others("a", rng) == "b" for _ in range(10))


def test_an_unknown_kind_is_refused():
    with pytest.raises(
        InputError, match=r"no kind of values 'persn' .did you mean 'person'.*; allowed: person"
    ):
        kind_of("persn")
