"""Lessons: what identifies them, text that cannot do harm, and how they are read."""

from dataclasses import replace

import pytest
from experience_kit import answered, call, make_lesson, make_tools, run, told
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from toolmaster.experience.lesson import (
    LESSON_CHARS,
    one_line,
    read_lessons,
    schema_hash,
    texts_by_tool,
)
from toolmaster.types import ErrorKind
from toolmaster.world.behaviours import KINDS


@given(st.text(), st.integers(2, 60))
def test_any_text_becomes_one_bounded_line_without_tags(text, limit):
    line = one_line(text, limit)
    assert len(line) <= limit
    assert len(line.splitlines()) <= 1
    assert not set("<>\n\r\t\x00\u2028\u202e\u200b") & set(line)
    assert one_line(line, limit) == line


def test_one_line_keeps_what_is_harmless():
    assert one_line("  divide \n by 100: 'Größe' ✓ ", 40) == "divide by 100: 'Größe' ✓"
    assert one_line("abcdef", 4) == "abc…"


def test_the_hash_follows_the_schema_and_nothing_else():
    tool = make_tools()["price"]
    same = replace(tool, execute=print, source="elsewhere", timeout_s=3.0)
    assert schema_hash(same) == schema_hash(tool)
    turned = {"required": ["item"], "properties": {"item": {"type": "string"}}, "type": "object"}
    assert schema_hash(replace(tool, parameters=turned)) == schema_hash(tool)
    changes = ({"name": "cost"}, {"description": "Cost"}, {"parameters": {"type": "object"}})
    changed = {schema_hash(replace(tool, **change)) for change in changes}
    assert len(changed | {schema_hash(tool)}) == 4


def test_a_lesson_is_identified_by_tool_schema_and_text():
    lesson = make_lesson()
    assert make_lesson(text="Divide the RESULT by 100.").id == lesson.id
    assert make_lesson(helped=3, stale="old", source="elsewhere").id == lesson.id
    others = [make_lesson(text="x"), make_lesson(tool="b"), make_lesson(schema_hash="0" * 16)]
    assert len({lesson.id, *(other.id for other in others)}) == 4


@pytest.mark.parametrize(
    "fields",
    [
        {"text": ""},
        {"text": " \n "},
        {"when": "yesterday"},
        {"schema_hash": "xyz"},
        {"helped": -1},
        {"tool": ""},
        {"surprise": 1},
        {"arguments": {"a": "b" * 3000}},
    ],
)
def test_what_is_not_a_lesson(fields):
    with pytest.raises(ValidationError):
        make_lesson(**fields)


def test_long_lessons_are_cut():
    assert len(make_lesson(text="word " * 200).text) == LESSON_CHARS


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
def test_lines_about_tools(text, found):
    assert texts_by_tool(text, ["price", "put"]) == found


def test_the_longest_name_counts():
    names = ["get", "get-price", "get_price"]
    assert texts_by_tool("get_price: a\nget: b", names) == {"get_price": "a", "get": "b"}


def test_every_lesson_of_the_teacher_is_read(world):
    seen = set()
    for split in ("train", "test"):
        for number in range(150):
            drawn = world.draw(world.id_of(split, number))
            kinds = [one for kinds in drawn.possible.values() for one in kinds.values()]
            for behaviour in (one for found in kinds for one in found):
                name = drawn.chosen[drawn.target][0].name
                text = f"{name}: {behaviour.lesson}"
                assert texts_by_tool(text, [name])[name] in text
                seen.add(type(behaviour))
    assert seen == set(KINDS)


def read(*turns, name="price", tools=None, end=()):
    """The calls of the lessons that these trial turns teach about a tool."""
    tools = tools or make_tools()
    trajectory = run(tools, *turns, told(f"{name}: so it is"), *end, answered())
    return [
        (lesson.arguments, lesson.observation, lesson.error, lesson.repeatable)
        for lesson in read_lessons(trajectory, tools)
    ]


def test_the_last_call_that_worked_shows_the_lesson():
    turns = (call(item="x"), call(item="loaf"), call(item="bun"))
    assert read(*turns) == [({"item": "bun"}, "200", None, True)]
    assert read(*turns, call(item="x")) == read(*turns)


def test_an_error_shows_the_lesson_if_no_call_worked():
    [seen] = read(call(item="x"))
    assert seen == ({"item": "x"}, "error: unknown 'x'", ErrorKind.TOOL_ERROR, True)


def test_what_a_trial_wrote_makes_later_reads_unrepeatable():
    write = call("put", item="bun", to=3)
    assert read(call(item="loaf"), write, call(item="bun")) == [
        ({"item": "loaf"}, "400", None, True)
    ]
    assert read(write, call(item="bun")) == [({"item": "bun"}, "300", None, False)]
    assert read(write, name="put") == [({"item": "bun", "to": 3}, "done", None, False)]


def test_without_a_trial_call_there_is_no_lesson():
    """Calls that never reached the tool, calls in execution, and no experience at all."""
    assert read() == read(call(name="nope"), call(), call(item=3)) == []
    assert read(call("put", item="bun", to=3), tools=make_tools(fork=False), name="put") == []
    assert read(end=[call(item="loaf")]) == []
    tools = make_tools()
    assert read_lessons(run(tools, call(item="loaf"), "<think>stopped"), tools) == []


def test_arguments_too_long_to_keep_are_not_kept():
    [seen] = read(call(item="loaf"), call(item="x" * 5000))
    assert seen[0] == {"item": "loaf"}


def limited(*steps, text):
    """The texts of lessons that a trial teaches whose calls were answered as told."""
    tools = make_tools()
    calls = [call(item="loaf")] * len(steps)
    trajectory = run(tools, *calls, told(f"price: {text}"), answered())
    for place, update in enumerate(steps):
        trajectory.steps[place] = trajectory.steps[place].model_copy(update=update)
    return [lesson.text for lesson in read_lessons(trajectory, tools)]


LIMITS = {
    "no answer within 5 s": ErrorKind.TIMEOUT,
    "the budget of 3 calls is used up": ErrorKind.BUDGET_EXHAUSTED,
    "not executed: not run in a trial": ErrorKind.NOT_EXECUTED,
    "not permitted: not allowed": ErrorKind.NOT_PERMITTED,
    "not run: no answer in time": ErrorKind.TOOL_ERROR,
    "the call was run; its result takes 65 MiB": ErrorKind.TOOL_ERROR,
}


@pytest.mark.parametrize(("observation", "error"), LIMITS.items())
def test_limits_of_ours_are_no_lessons(observation, error):
    met = {"observation": f"error: {observation}", "error": error}
    assert limited(met, text="times out after 5 s") == []
    assert limited(met, text="divide by 100") == []  # nothing has shown it
    said = observation.replace(";", "")
    about = f"divide by 100. Once: {said}; cents, it times out"
    assert limited({}, met, text=about) == ["divide by 100. cents"]


def test_a_cut_result_teaches_what_it_shows_only():
    cut = {"observation": "400 [cut: 3 of 9 characters shown]"}
    assert limited(cut, text="results are truncated") == []
    assert limited(cut, text="divide by 100, results are cut after 3 characters") == [
        "divide by 100"
    ]


def test_what_a_tool_says_of_its_own_limits_is_a_lesson():
    refused = {"observation": "error: at most 5 seconds", "error": ErrorKind.TOOL_ERROR}
    text = "refuses more than 5 seconds, not allowed"
    assert limited(refused, text=text) == limited({}, text=text) == [text]
