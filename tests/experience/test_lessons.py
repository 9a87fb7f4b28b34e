"""What a trajectory taught, and what shows it."""

import pytest
from experience_kit import answered, call, make_tools, run, told

from toolmaster.experience.lessons import evidence, lessons
from toolmaster.types import ErrorKind
from toolmaster.world.quirks import KINDS


def read(text, tools=None):
    tools = tools or make_tools()
    return lessons(run(tools, told(text), answered()), tools)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("price: divide the result by 100", {"price": "divide the result by 100"}),
        ("price: a\nput: b", {"price": "a", "put": "b"}),
        ("- `price`: a\n* put: b", {"price": "a", "put": "b"}),
        ("price is out of date; use put", {"price": "is out of date; use put"}),
        ("price: a\nprice: b\nprice: a", {"price": "a; b"}),
        ("  price :  a  \n\n", {"price": "a"}),
        ("none", {}),
        ("", {}),
        ("cost: a\nprices: b\npriceless\nprice\nprice:", {}),
        ("the price is in cents", {}),
    ],
)
def test_lines(text, found):
    assert read(text) == found


def test_the_longest_name_counts(monkeypatch):
    tools = make_tools()
    names = ["get", "get-price", "get_price"]
    monkeypatch.setattr(type(tools), "names", lambda _: names)
    assert read("get_price: a\nget: b", tools) == {"get_price": "a", "get": "b"}


def test_every_lesson_of_the_teacher_is_read(world):
    seen = set()
    for split in ("seen", "unseen"):
        for task_id in world.ids(split, 120, ["loud", "silent", "irreversible"]):
            drawn = world.draw(task_id)
            tools = drawn.task.make_tools()
            for surface in drawn.surfaces:
                text = surface.quirk.lesson(surface.name, "twin")
                found = lessons(run(tools, told(text), answered()), tools)
                assert found[surface.name] in text
                seen.add(surface.quirk.kind)
    assert len(seen) > len(KINDS) // 2


def test_without_an_experience_there_is_nothing():
    tools = make_tools()
    assert lessons(run(tools, call(item="loaf"), "<think>stopped"), tools) == {}


def shown(*turns, name="price", tools=None):
    tools = tools or make_tools()
    return evidence(run(tools, *turns, told("none"), answered()), tools, name)


def test_the_last_call_that_worked_and_the_error_before_it():
    found = shown(call(item="x"), call(item="loaf"), call(item="bun"))
    assert [(e.arguments["item"], e.observation, e.error) for e in found] == [
        ("x", "error: unknown 'x'", ErrorKind.TOOL_ERROR),
        ("bun", "200", None),
    ]
    assert [e.repeatable for e in found] == [True, True]


def test_calls_that_never_reached_the_tool_show_nothing():
    assert shown(call(name="nope"), call(), call(item=3)) == ()
    assert shown(call("put", item="bun", to=3), tools=make_tools(fork=False), name="put") == ()


def test_what_a_trial_wrote_makes_later_reads_unrepeatable():
    write = call("put", item="bun", to=3)
    [before] = shown(call(item="loaf"), write, call(item="bun"))
    assert (before.arguments, before.repeatable) == ({"item": "loaf"}, True)
    [after] = shown(write, call(item="bun"))
    assert (after.observation, after.repeatable) == ("300", False)
    [written] = shown(write, name="put")
    assert (written.observation, written.repeatable) == ("done", False)


def test_execution_calls_are_no_evidence():
    tools = make_tools()
    trajectory = run(tools, told("price: a"), call(item="loaf"), answered())
    assert evidence(trajectory, tools, "price") == ()


def test_arguments_too_long_to_keep_are_not_kept():
    [kept] = shown(call(item="loaf"), call(item="x" * 5000))
    assert kept.arguments == {"item": "loaf"}
