"""Answers in the forms that endpoints give them."""

import json

import pytest

from toolmaster.policies.replies import ErrorReplyError, arguments_text, read_reply

REQUEST = {"messages": [{"role": "user", "content": "How many?"}]}


def read(message, finish="stop", *, limit=None, **fields):
    choice = {"index": 0, "finish_reason": finish, "message": message}
    return read_reply(json.dumps({"choices": [choice], **fields}), REQUEST, limit)


@pytest.mark.parametrize(("given", "read_as"), [
    ("", "{}"), (None, "{}"), ("null", "{}"), (" null ", "{}"), ('"null"', "{}"), ('""', "{}"),
    ("[]", "{}"), ("{}", "{}"), ({}, "{}"), ({"a": 1}, '{"a": 1}'), (' {"a": 1}\n', '{"a": 1}'),
    (json.dumps('{"a": 1}'), '{"a": 1}'), (json.dumps(json.dumps('{"a": 1}')), '{"a": 1}'),
    ("[4]", "[4]"), ("n=4", "n=4"), ('{"a": ', '{"a":'), ("4", "4"),
])  # fmt: skip
def test_arguments(given, read_as):
    assert arguments_text(given) == read_as
    [call] = read({"tool_calls": [{"function": {"name": "f", "arguments": given}}]}).calls
    assert (call.name, call.arguments) == ("f", read_as)


@pytest.mark.parametrize("message", [
    {"tool_calls": [{"id": "c", "name": "f", "arguments": "{}"}]},
    {"tool_calls": [{"id": "c", "type": "function", "function": {"name": "f"}}], "content": None},
    {"tool_calls": [{"id": "c", "function": {"name": "f", "arguments": "{}"}}, {"function": {}}]},
    {"content": None, "function_call": {"name": "f", "arguments": "{}"}},  # the older form
])  # fmt: skip
def test_forms_of_a_call(message):
    [call] = read(message).calls
    assert (call.name, call.arguments) == ("f", "{}")
    assert call.id == ("c" if "tool_calls" in message else "")


@pytest.mark.parametrize(("content", "text", "thought"), [
    ("5", "5", ""),
    (None, "", ""),
    ([{"type": "text", "text": "5"}, {"type": "text", "text": "6"}], "56", ""),
    (["5", {"type": "output_text", "text": "6"}], "56", ""),
    ({"type": "text", "text": "5"}, "5", ""),
    ([{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]},
      {"type": "text", "text": "5"}], "5", "hm"),
    ([{"type": "reasoning", "text": "hm"}, {"type": "text", "text": "5"}], "5", "hm"),
])  # fmt: skip
def test_content_in_parts(content, text, thought):
    reply = read({"content": content})
    assert (reply.content, reply.reasoning) == (text, thought)
    assert reply.given.get("content") == content


@pytest.mark.parametrize("fields", [
    {"reasoning_content": "hm"},
    {"reasoning": "hm"},
    {"reasoning": {"content": "hm"}},
    {"thinking": "hm"},
    {"reasoning_details": [{"type": "reasoning.text", "text": "hm", "signature": "s"},
                           {"type": "reasoning.encrypted", "data": "x"}]},
    {"reasoning_details": [{"type": "reasoning.summary", "summary": "hm"}], "reasoning": ""},
])  # fmt: skip
def test_thoughts(fields):
    reply = read({"content": "5", **fields})
    assert (reply.content, reply.reasoning) == ("5", "hm")
    assert reply.given == {"content": "5", **fields}


@pytest.mark.parametrize(("finish", "cut"), [
    ("length", True), ("max_tokens", True), ("MAX_TOKENS", True), ("model_length", True),
    ("stop", False), ("tool_calls", False), (None, False),
])  # fmt: skip
def test_a_reply_that_was_cut(finish, cut):
    assert read({"content": "5"}, finish, limit=500).cut is cut


def test_a_cut_that_is_not_said():
    usage = {"prompt_tokens": 1, "completion_tokens": 500}
    assert read({"content": "5"}, None, limit=500, usage=usage).cut
    assert not read({"content": "5"}, "stop", limit=500, usage=usage).cut


def events(*chunks, end="data: [DONE]\n\n"):
    return "".join(f"data: {json.dumps(chunk)}\n\n" for chunk in chunks) + end


def delta(finish=None, **fields):
    return {"model": "m", "choices": [{"index": 0, "delta": fields, "finish_reason": finish}]}


def piece(index=None, call_id=None, name=None, arguments=None, **fields):
    call = {"index": index, "id": call_id, "type": "function",
            "function": {"name": name, "arguments": arguments}, **fields}  # fmt: skip
    return delta(tool_calls=[{k: v for k, v in call.items() if v is not None}])


def test_a_stream_of_text():
    usage = {"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 4}}
    reply = read_reply(
        "\ufeff: ping\n\nevent: message\n"
        + events(
            delta(role="assistant", content=None, reasoning="h"),
            delta(reasoning="m"),
            delta(content="5"),
            delta(content="6", role="assistant"),
            delta("length"),
            usage,
            end="data:\n\n",
        ),
        REQUEST,
    )
    assert (reply.content, reply.reasoning, reply.cut, reply.model) == ("56", "hm", True, "m")
    assert (reply.prompt_tokens, reply.completion_tokens) == (3, 4)


@pytest.mark.parametrize("chunks", [
    [piece(0, "a", "f", '{"n"'), piece(0, arguments=": 1}"), piece(1, "b", "g", "{}")],
    [piece(0, "a", "f", '{"n"'), piece(0, "a", arguments=": 1}"), piece(0, "b", "g", "{}")],
    [piece(None, "a", "f", '{"n": 1}'), piece(None, "b", "g", "{}")],
    [piece(0, "a", "f", {"n": 1}), piece(1, "b", "g", {})],
    [piece(0, "a", "f", ""), piece(1, "b", "g", ""), piece(0, arguments='{"n": 1}')],
    [{"choices": [{"message": {"tool_calls": [
        {"id": "a", "function": {"name": "f", "arguments": '{"n": 1}'}},
        {"id": "b", "function": {"name": "g", "arguments": "{}"}}]}}]}],
])  # fmt: skip
def test_streams_of_calls(chunks):
    calls = read_reply(events(*chunks, end=""), REQUEST).calls
    made = [(call.id, call.name, json.loads(call.arguments)) for call in calls]
    assert made == [("a", "f", {"n": 1}), ("b", "g", {})]


def test_a_stream_of_calls_without_ids():
    chunks = [piece(name="f", arguments="{}"), piece(name="g", arguments='{"n"'),
              piece(arguments=": 1}")]  # fmt: skip
    calls = read_reply(events(*chunks), REQUEST).calls
    assert [(call.name, call.arguments) for call in calls] == [("f", "{}"), ("g", '{"n": 1}')]


def test_what_goes_back_is_whole_in_a_stream():
    signature = {"google": {"thought_signature": "s"}}
    text = {"type": "reasoning.text", "index": 0}
    reply = read_reply(
        events(
            delta(reasoning_details=[{**text, "text": "h"}]),
            delta(reasoning_details=[{**text, "text": "h"}]),
            delta(reasoning_details=[{**text, "signature": "s"}]),
            piece(0, "a", "f", "{}", extra_content=signature),
        ),
        REQUEST,
    )
    assert reply.calls[0].given["extra_content"] == signature
    assert reply.given["reasoning_details"] == [{**text, "text": "hh", "signature": "s"}]


@pytest.mark.parametrize("answer", [
    json.dumps({"error": {"message": "worker died"}}),
    json.dumps({"choices": [{"error": {"message": "worker died", "code": 502}}]}),
    events({"error": {"message": "worker died"}}),
    events(delta(content="5"), {"error": {"message": "worker died"}}),
])  # fmt: skip
def test_an_error_with_a_status_of_success(answer):
    with pytest.raises(ErrorReplyError, match="worker died"):
        read_reply(answer, REQUEST)
