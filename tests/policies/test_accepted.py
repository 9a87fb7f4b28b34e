"""Parts of a request that endpoints refuse, in their own words, are left out or changed."""

import asyncio

import pytest
from endpoint_server import Status, call, completion, refuse

from toolmaster.errors import PolicyError
from toolmaster.policies.base import ContextFullError, Sampling
from toolmaster.policies.endpoint import ChatEndpoint
from toolmaster.policies.endpoint_errors import ToolsRefusedError

TOOLS = [
    {"type": "function", "function": {"name": name, "parameters": {"type": "object"}}}
    for name in ("get_price", "delete_all", "a")
]
CALL = {**call("get_price", {}), "extra_content": {"google": {"thought_signature": "s"}}}
HISTORY = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "How many?"},
    {"role": "assistant", "content": None, "tool_calls": [CALL], "reasoning_content": "hm",
     "reasoning_details": [{"text": "hm"}]},
    {"role": "tool", "tool_call_id": "c1", "content": "4"},
]  # fmt: skip


def asked(server, *, messages=HISTORY, tools=TOOLS, sampling=None, times=1, extra=None, **options):
    """The endpoint after questions that it accepted, and the last request."""

    async def go():
        sampling_ = sampling or Sampling(turn_tokens=16_384)
        endpoint = ChatEndpoint("m-2024-11", sampling_, server.url, retries=0, **options)
        for _ in range(times):
            await endpoint.ask(messages, tools, **(extra or {}))
        await endpoint.close()
        return endpoint

    endpoint = asyncio.run(go())
    return endpoint, server.bodies()[-1]


def refusing(serve, reply, refused):
    """A server that refuses what `refused(body)` says and accepts everything else."""
    reply = reply if isinstance(reply, Status) else refuse(400, reply)
    return serve(lambda body: reply if refused(body) else completion("4"))


def loc(*place, msg="Extra inputs are not permitted"):
    """A refusal as FastAPI and pydantic write it, with the input that they refused."""
    detail = [{"type": "extra_forbidden", "loc": ["body", *place], "msg": msg, "input": HISTORY}]
    return Status(422, {"detail": detail})


def test_a_low_temperature(serve):
    for reply in ("temperature must be strictly positive", "temperature: between 0.01 and 1"):
        server = refusing(serve, reply, lambda body: "temperature" in body)
        assert "temperature" not in asked(server)[1]


@pytest.mark.parametrize("temperature", [0.0, 0.7])
@pytest.mark.parametrize("reply", [
    "`temperature` is deprecated for this model.",
    "`temperature` may only be set to 1 when thinking is enabled.",
    "Unsupported value: 'temperature' does not support 0 with this model. Only 1 is supported.",
    "invalid temperature: only 1 is allowed for this model",
    "This model has a fixed sampling temperature; remove the parameter.",
    loc("temperature"),
    Status(400, [{"error": {"message": "Invalid JSON payload: Unknown name \"temperature\""}}]),
    Status(400, {"error": {"message": "Provider returned error", "code": 400, "metadata": {
        "raw": '{"error": {"message": "temperature cannot be changed"}}'}}}),
    Status(400, {"error": {"message": "Unsupported parameter", "param": "temperature"}}),
])  # fmt: skip
def test_the_temperature(serve, reply, temperature, capsys):
    server = refusing(serve, reply, lambda body: "temperature" in body)
    asked(server, sampling=Sampling(temperature=temperature), times=3)
    assert len(server.requests) == 4  # it is remembered
    told = capsys.readouterr().err
    assert told.startswith(f"model 'm-2024-11' at {server.url}: from now on no temperature; ")
    assert told.count("\n") == 1


def test_the_field_that_is_named_first(serve):
    listing = "expected one of `model`, `messages`, `max_tokens`, `temperature`, `tool_choice`"
    server = refusing(
        serve, f"unknown field `tool_choice`, {listing}", lambda b: "tool_choice" in b
    )
    body = asked(server, extra={"tool_choice": "auto"})[1]
    assert body.keys() >= {"temperature", "max_tokens"}
    server = refusing(serve, f"unknown field `foo`, {listing}", lambda body: True)
    with pytest.raises(PolicyError, match="unknown field `foo`"):
        asked(server, body={"foo": 1})
    assert len(server.requests) == 1
    reply = "'temperature' is unsupported here, unlike max_tokens and top_p"
    server = refusing(serve, reply, lambda body: "temperature" in body)
    assert "max_tokens" in asked(server)[1]


def test_a_temperature_out_of_range_is_the_users(serve):
    reply = "temperature must be between 0 and 2"
    server = refusing(serve, reply, lambda body: "temperature" in body)
    with pytest.raises(PolicyError, match=reply):
        asked(server, sampling=Sampling(temperature=3.0))


@pytest.mark.parametrize("reply", [
    "Unsupported parameter: 'max_tokens' is not supported with this model."
    " Use 'max_completion_tokens' instead.",
    "Unrecognized request argument supplied: max_tokens",
    "Unknown parameter: maxTokens",
    "Please send max_completion_tokens rather than max_tokens",
    "bad field max_tokens",
    loc("max_tokens"),
])  # fmt: skip
def test_another_name_of_the_token_limit(serve, reply):
    server = refusing(serve, reply, lambda body: "max_tokens" in body)
    _, body = asked(server)
    assert body["max_completion_tokens"] == 16_384


def test_a_name_that_the_refusal_gives(serve):
    reply = "max_tokens and max_completion_tokens are unknown here, use max_output_tokens"
    server = refusing(serve, reply, lambda body: "max_output_tokens" not in body)
    assert asked(server)[1]["max_output_tokens"] == 16_384


@pytest.mark.parametrize("reply", [
    "max_tokens is too large: 16384. This model supports at most 4096 completion tokens.",
    "max_tokens: 16384 > 4096, which is the maximum allowed number of output tokens for m-2024-11",
    "`max_tokens` must be less than or equal to `4096`, the maximum value for `max_tokens`",
    "Invalid max_tokens value, the valid range of max_tokens is [1, 4,096]",
    "The maximum tokens you requested exceeds the model limit of 4096.",
    "maxTokens out of bounds: 1..4096",
])  # fmt: skip
def test_a_lower_token_limit(serve, reply):
    server = refusing(serve, reply, lambda body: body["max_tokens"] > 4096)
    endpoint, body = asked(server, times=2)
    assert body["max_tokens"] == endpoint.turn_tokens == 4096
    assert len(server.requests) == 3


@pytest.mark.parametrize("reply", [
    "This model's maximum context length is 8192 tokens. However, you requested 17384 tokens"
    " (1000 in the messages, 16384 in the completion). Please reduce the length of the messages.",
    "'max_tokens' is too large: 16384. This model's maximum context length is 8192 tokens and your"
    " request has 1000 input tokens (16384 > 8192 - 1000).",
    "input length and `max_tokens` exceed context limit: 1000 + 16384 > 8192, decrease input length"
    " or `max_tokens` and try again",
])  # fmt: skip
def test_a_reply_that_does_not_fit_into_the_context(serve, reply):
    server = refusing(serve, reply, lambda body: body["max_tokens"] > 7192)
    assert asked(server)[1]["max_tokens"] == 3596
    assert len(server.requests) == 2


@pytest.mark.parametrize("status", [413, 429])
def test_an_account_that_may_use_fewer_tokens_at_once(serve, status):
    reply = (
        "Request too large for m-2024-11 on tokens per minute (TPM): Limit 12000, Requested 17384,"
        " please reduce your message size and try again."
    )
    server = refusing(serve, refuse(status, reply), lambda body: body["max_tokens"] > 11_000)
    assert asked(server)[1]["max_tokens"] == 5500
    assert len(server.requests) == 2


def test_a_conversation_that_leaves_no_room(serve):
    reply = (
        "This model's maximum context length is 8192 tokens. However, you requested 24484 tokens"
        " (8100 in the messages, 16384 in the completion)."
    )
    server = refusing(serve, reply, lambda body: True)
    with pytest.raises(ContextFullError):
        asked(server)
    assert len(server.requests) == 1


@pytest.mark.parametrize(("field", "reply"), [
    ("parallel_tool_calls", loc("parallel_tool_calls")),
    ("parallel_tool_calls", "Unknown name \"parallelToolCalls\": Cannot find field."),
    ("parallel_tool_calls", "'parallel_tool_calls' is only allowed when 'tools' are specified"),
    ("tool_choice", "This endpoint ignores no fields: tool_choice"),
])  # fmt: skip
def test_fields_that_can_be_left_out(serve, field, reply):
    server = refusing(serve, reply, lambda body: field in body)
    extra = {"parallel_tool_calls": False, "tool_choice": "none"}
    assert asked(server, extra=extra)[1].keys() >= extra.keys() - {field}


def test_a_field_that_the_user_wants_is_not_left_out(serve):
    server = refusing(serve, "top_k is not supported", lambda body: "top_k" in body)
    with pytest.raises(PolicyError, match="top_k is not supported"):
        asked(server, body={"top_k": 5})
    server = refusing(serve, "reasoning_effort: none", lambda body: "reasoning_effort" in body)
    with pytest.raises(PolicyError, match="reasoning_effort: none"):
        asked(server, reasoning_effort="xhigh")


@pytest.mark.parametrize("reply", [
    "This model only supports streaming",
    "parameter.enable_thinking must be set to false for non-streaming calls",
])  # fmt: skip
def test_an_endpoint_that_only_streams(serve, reply):
    stream = 'data: {"choices": [{"delta": {"content": "4"}}]}\n\ndata: [DONE]\n\n'

    def answer(body):
        return Status(200, stream) if body.get("stream") else refuse(400, reply)

    server = serve(answer)
    asked(server, times=2)
    assert [body.get("stream") for body in server.bodies()] == [None, True, True]


def test_an_endpoint_that_streams_neither_way(serve):
    server = serve(lambda body: refuse(400, "stream is required and stream is unsupported"))
    with pytest.raises(PolicyError):
        asked(server)


@pytest.mark.parametrize("reply", [
    "'messages.2' : for 'role:assistant' the following must be satisfied[('messages.2' :"
    " property 'reasoning_content' is unsupported)]",
    "The reasoning_content is not an input field",
    "Unrecognized key: \"reasoning_content\" in messages[2]",
    loc("messages", 2, "assistant", "reasoning_content"),
])  # fmt: skip
def test_reasoning_in_the_history(serve, reply):
    server = refusing(serve, reply, lambda body: "reasoning_content" in body["messages"][2])
    [_, _, turn, _] = asked(server)[1]["messages"]
    assert "reasoning_details" in turn
    assert turn["tool_calls"] == [CALL]


def test_fields_of_calls_in_the_history(serve):
    reply = loc("messages", 2, "tool_calls", 0, "extra_content")
    server = refusing(serve, reply, lambda b: "extra_content" in b["messages"][2]["tool_calls"][0])
    turn = asked(server)[1]["messages"][2]
    assert turn["tool_calls"] == [call("get_price", {})]
    assert turn["reasoning_content"] == "hm"


def test_unknown_fields_of_a_message_that_are_not_named(serve):
    reply = "messages[2]: additional properties are not allowed"
    server = refusing(serve, reply, lambda body: "reasoning_content" in body["messages"][2])
    turn = asked(server)[1]["messages"][2]
    assert turn.keys() == {"role", "content", "tool_calls"}


@pytest.mark.parametrize("reply", [
    "reasoning_content is missing in assistant tool call message at index 2",
    "The `reasoning_details` of the turn must be passed back to the API.",
])  # fmt: skip
def test_a_field_that_is_missing_is_not_left_out(serve, reply):
    server = refusing(serve, reply, lambda body: True)
    with pytest.raises(PolicyError):
        asked(server)
    assert len(server.requests) == 1


@pytest.mark.parametrize("reply", [
    "System role not supported",
    "Developer instruction is not enabled for models/gemma-3-27b-it",
    "Unsupported value: 'messages[0].role' does not support 'system' with this model.",
    "messages[0].role: unknown variant `system`, expected `user` or `assistant`",
    "Only user and assistant roles are supported!",
    "Conversation roles must alternate user/assistant/user/assistant/...",
    refuse(500, "jinja: System role not supported"),
    loc("messages", 0, "role", msg="Input should be 'user', 'assistant' or 'tool'"),
])  # fmt: skip
def test_no_system_role(serve, reply):
    server = refusing(serve, reply, lambda body: body["messages"][0]["role"] == "system")
    _, body = asked(server, times=2)
    assert body["messages"][0] == {"role": "user", "content": "Be brief.\n\nHow many?"}
    assert [m["role"] for m in body["messages"]] == ["user", "assistant", "tool"]
    assert len(server.requests) == 3


def test_the_developer_role(serve):
    reply = "The role 'system' is not supported for this model; use 'developer' instead."
    server = refusing(serve, reply, lambda body: body["messages"][0]["role"] == "system")
    assert asked(server)[1]["messages"][0] == {"role": "developer", "content": "Be brief."}


@pytest.mark.parametrize("reply", [
    "messages.2.content: Input should be a valid string",
    "Invalid value for 'content': expected a string, got null.",
    "content field is a required field",
])  # fmt: skip
def test_calls_without_a_text(serve, reply):
    server = refusing(serve, reply, lambda body: body["messages"][2]["content"] is None)
    assert asked(server)[1]["messages"][2]["content"] == ""


def test_messages_without_a_text(serve):
    messages = [HISTORY[1], {"role": "assistant", "content": ""}, HISTORY[1]]
    reply = "messages.1: all messages must have non-empty content"
    server = refusing(serve, reply, lambda body: not body["messages"][1]["content"])
    assert asked(server, messages=messages)[1]["messages"][1]["content"] == "(no text)"


@pytest.mark.parametrize("reply", [
    "Invalid schema for function 'delete_all': In context=('properties', 'a'), array schema missing"
    " items.",
    "tool delete_all: bad description",
    "`delete_all` is not a valid function declaration",
    "GenerateContentRequest.tools[0].function_declarations[1].parameters: bad schema",
    "tools.1.custom.input_schema: JSON schema is invalid",
    "The value at toolConfig.tools.1.toolSpec.inputSchema.json.type must be one of: object.",
    "Invalid function name: delete_all",
    Status(400, {"error": {"message": "Invalid schema", "param": "tools[1].function.parameters"}}),
    loc("tools", 1, "function", "parameters", msg="bad schema"),
])  # fmt: skip
def test_one_tool_is_refused(serve, reply, capsys):
    def refused(body):
        return "delete_all" in [tool["function"]["name"] for tool in body["tools"]]

    _, body = asked(refusing(serve, reply, refused), times=2)
    assert [tool["function"]["name"] for tool in body["tools"]] == ["get_price", "a"]
    assert "without the tool delete_all" in capsys.readouterr().err


def test_all_tools_are_refused(serve):
    server = refusing(serve, "Tool use is not supported", lambda body: True)
    with pytest.raises(ToolsRefusedError):
        asked(server)
    server = refusing(serve, "bad function 'get_price'", lambda body: "tools" in body)
    with pytest.raises(ToolsRefusedError):
        asked(server, tools=TOOLS[:1])


def test_many_at_once_learn_it_once(serve, capsys):
    server = refusing(serve, "temperature is unknown", lambda body: "temperature" in body)

    async def go():
        endpoint = ChatEndpoint("m", Sampling(), server.url, retries=0)
        got = await asyncio.gather(*(endpoint.ask(HISTORY) for _ in range(20)))
        await endpoint.close()
        return [reply.content for reply in got]

    assert asyncio.run(go()) == ["4"] * 20
    assert capsys.readouterr().err.count("from now on") == 1


@pytest.mark.parametrize("reply", [
    refuse(400, "Failed to call a function. Please adjust your prompt.", "tool_use_failed"),
    refuse(400, "tool call validation failed: attempted to call tool 'x' which was not in tools"),
    refuse(400, "Parsing failed. The model generated output that could not be parsed."),
])  # fmt: skip
def test_what_the_model_wrote_wrong_is_asked_again(serve, reply):
    server = serve(reply, "4")

    async def go():
        endpoint = ChatEndpoint("m", Sampling(), server.url, retries=1, backoff_s=0.001)
        reply = await endpoint.ask(HISTORY, TOOLS)
        await endpoint.close()
        return reply.content

    assert asyncio.run(go()) == "4"
