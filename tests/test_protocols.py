"""The parser of assistant turns: every error kind, every protocol, and that it never raises."""

import json
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toolmaster.protocols import MAX_CALL_LEVELS, Protocol, find_form, instructions, parse
from toolmaster.tags import CLOSING_TAGS, TAGS
from toolmaster.types import ActionKind, ErrorKind, Phase, ToolCall

TRIAL, DIRECT, PAPER = Protocol.TRIAL, Protocol.DIRECT, Protocol.PAPER
CALL = '<tool_call>{"name": "get", "arguments": {"x": 1}}</tool_call>'
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


def call_of(content):
    return f"<tool_call>{content}</tool_call>"


@pytest.mark.parametrize("protocol", Protocol)
def test_call(protocol):
    action = parse(f"<think>t</think>{CALL}", protocol)
    assert (action.kind, action.error) == (ActionKind.CALL, None)
    assert action.call == ToolCall(name="get", arguments={"x": 1})


@pytest.mark.parametrize("protocol", Protocol)
def test_answer_is_stripped_and_needs_no_thought(protocol):
    action = parse("<answer>\n 4.5 \n</answer> bye", protocol)
    assert (action.kind, action.text, action.error) == (ActionKind.ANSWER, "4.5", None)


def test_experience_keeps_its_lines():
    action = parse("<think>t</think><experience>\na: b\nc: d\n</experience>", TRIAL)
    assert (action.kind, action.text) == (ActionKind.EXPERIENCE, "a: b\nc: d")


@pytest.mark.parametrize("protocol", [DIRECT, PAPER])
def test_there_is_no_experience_without_a_trial(protocol):
    action = parse("<think>t</think><experience>a</experience>", protocol)
    assert (action.kind, action.error) == (ActionKind.INVALID, ErrorKind.WRONG_PHASE)
    assert action.text == "there is no experience block here; write a tool_call or answer block"


def test_blocks_inside_a_thought_do_not_count():
    action = parse(f"<think>maybe {CALL} or <answer>1</answer></think>{CALL}", TRIAL)
    assert action.kind is ActionKind.CALL


@pytest.mark.parametrize(
    ("protocol", "allowed"),
    [
        (TRIAL, "tool_call, experience or answer"),
        (DIRECT, "tool_call or answer"),
        (PAPER, "tool_call or answer"),
    ],
)
@pytest.mark.parametrize("text", ["", "hello", "<think>t</think>", "</answer>"])
def test_no_action(protocol, allowed, text):
    action = parse(text, protocol)
    assert action.error is ErrorKind.NO_ACTION
    assert action.text == f"write exactly one {allowed} block after your thought"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (f"<think>t {CALL}", "the think block is never closed; close it, then write one block"),
        ("<answer>4", "the answer block is never closed"),
        ('<tool_call>{"name"', "the tool_call block is never closed"),
        ("<answer>4</tool_call>", "the answer block is never closed"),
    ],
)
def test_unclosed_tag(text, message):
    action = parse(text, TRIAL)
    assert (action.kind, action.error) == (ActionKind.INVALID, ErrorKind.UNCLOSED_TAG)
    assert action.text == message


@pytest.mark.parametrize("text", [CALL + CALL, CALL + "<answer>1</answer>", CALL + "<answer>"])
def test_several_actions(text):
    action = parse(text, TRIAL)
    assert action.error is ErrorKind.SEVERAL_ACTIONS
    assert action.text == "write one block a turn, got 2; none was run"


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "{'name': 'a'}",
        '{"name": "a", "arguments": {"x": NaN}}',
        '{"name": "a", "arguments": {"x": 1e400}}',
        '{"name": "a", "arguments": {"x": ' + "1" * 5000 + "}}",
        '{"name": "a", "arguments": {"x": "\\ud800"}}',
        '{"name": "\\ud800", "arguments": {}}',
        '{"name": "a", "arguments": {"x": ' + "[" * 300 + "]" * 300 + "}}",
        "[" * 100_000,
    ],
)
def test_malformed_json(content):
    action = parse(call_of(content), DIRECT)
    assert (action.kind, action.error) == (ActionKind.INVALID, ErrorKind.MALFORMED_JSON)
    assert action.text.startswith("the call is not valid JSON: ")


@pytest.mark.parametrize(
    "data",
    [
        [],
        3,
        {"name": "a"},
        {"arguments": {}},
        {"name": 1, "arguments": {}},
        {"name": "a", "arguments": []},
        {"name": "a", "arguments": "{}"},
        {"name": "a", "arguments": {}, "id": 1},
    ],
)
def test_malformed_call(data):
    action = parse(call_of(json.dumps(data)), DIRECT)
    assert action.error is ErrorKind.MALFORMED_CALL
    assert action.text == 'a call is {"name": text, "arguments": object}'


@settings(max_examples=300, deadline=None)
@given(st.text(), st.sampled_from(Protocol))
def test_any_text_is_answered(text, protocol):
    action = parse(text, protocol)
    assert (action.kind is ActionKind.INVALID) == (action.error is not None)


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.sampled_from(TAGS) | st.text(max_size=6) | st.just('{"name": "a"')),
    st.sampled_from(Protocol),
)
def test_any_mixture_of_tags_is_answered(parts, protocol):
    action = parse("".join(parts), protocol)
    assert (action.kind is ActionKind.INVALID) == (action.error is not None)
    assert (action.call is not None) == (action.kind is ActionKind.CALL)


@settings(max_examples=100, deadline=None)
@given(json_values, st.sampled_from(Protocol))
def test_any_json_is_answered_and_can_be_saved(value, protocol):
    text = json.dumps({"name": "a", "arguments": {"x": value}})
    action = parse(call_of(text), protocol)
    if action.call is not None:
        assert ToolCall.model_validate_json(action.call.model_dump_json()) == action.call


@pytest.mark.parametrize(
    "text",
    ["<answer>", "<tool_call>", "<think>", "<answer></answe", "<experience><answer>", "</answer>"],
)
@pytest.mark.parametrize("protocol", Protocol)
def test_a_turn_of_tags_is_parsed_in_linear_time(text, protocol):
    began_s = time.process_time()
    assert parse(text * (500_000 // len(text)), protocol).kind is ActionKind.INVALID
    assert time.process_time() - began_s < 20


@pytest.mark.parametrize("levels", [MAX_CALL_LEVELS, 250, 900, 100_000])
def test_a_call_is_nested_within_bounds(levels):
    deep = "[" * levels + "]" * levels
    action = parse(call_of(f'{{"name": "a", "arguments": {{"x": {deep}}}}}'), TRIAL)
    assert (action.error, "nested deeper than 100" in action.text) == (
        ErrorKind.MALFORMED_JSON,
        True,
    )
    levels = MAX_CALL_LEVELS - 2
    deep = "[" * levels + "]" * levels
    assert parse(call_of(f'{{"name": "a", "arguments": {{"x": {deep}}}}}'), TRIAL).error is None


def test_instructions_tell_the_budget_only_where_there_is_a_trial():
    assert "(at most 7) until <experience>" in instructions(TRIAL, 7)
    assert instructions(DIRECT, 7) == instructions(PAPER, 7)
    assert "experience" not in instructions(DIRECT, 7)
    assert '{"name": ..., "arguments": {...}}' in instructions(DIRECT, 7)


@pytest.mark.parametrize(("protocol", "budget"), [(TRIAL, 17), (DIRECT, None), (PAPER, None)])
def test_the_form_is_found_again(protocol, budget):
    form = instructions(protocol, 17)
    assert find_form(form) == (budget, "")
    assert find_form(f"{form}\n<experience>get: x</experience>") == (
        budget,
        "<experience>get: x</experience>",
    )


def test_another_system_message_has_no_form():
    assert find_form("Be kind until <experience>.") == (None, "Be kind until <experience>.")


def test_phases_and_tags():
    first = [protocol.first_phase for protocol in (TRIAL, DIRECT, PAPER)]
    assert first == [Phase.TRIAL, Phase.EXECUTION, Phase.EXECUTION]
    assert set(CLOSING_TAGS) < set(TAGS)
