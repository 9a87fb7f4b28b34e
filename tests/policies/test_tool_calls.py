"""Native tool calling: the endpoint's own calls become turns, and answers find their calls."""

import asyncio
import json

import pytest
from endpoint_server import call, completion

from toolmaster.limits import Limits
from toolmaster.policies.base import Sampling
from toolmaster.policies.openai import OpenAIPolicy
from toolmaster.protocols import Protocol
from toolmaster.rollouts import RolloutRequest, run_rollout
from toolmaster.tasksets import Task
from toolmaster.tools import ToolSet
from toolmaster.tools.tool import Tool
from toolmaster.types import Effect, ErrorKind, Phase, StopReason

PARAMETERS = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}


def task(*names, result, effect):
    def execute(_, given):
        return result(given["n"])

    tools = [Tool(name, "adds one", PARAMETERS, execute, effect) for name in names]
    make = lambda: ToolSet(tuple(tools), {}, dict)  # noqa: E731
    return Task("t/1", "What is 4 plus 1?", tools=make)


MISSING = 'error: missing required parameter "n"'


def converse(
    server,
    *,
    protocol=Protocol.DIRECT,
    names=("add",),
    tool_calls="native",
    limits=Limits(),  # noqa: B008 - immutable
    result=lambda n: n + 1,
    effect=Effect.UNKNOWN,
):
    async def go():
        policy = OpenAIPolicy(
            "m", Sampling(), base_url=server.url, tool_calls=tool_calls, retries=0
        )
        try:
            request = RolloutRequest(task(*names, result=result, effect=effect))
            return await run_rollout(request, policy, protocol, limits)
        finally:
            await policy.close()

    return asyncio.run(go())


def calls(*written, text=None, **fields):
    return completion(text, "tool_calls", tool_calls=list(written), **fields)


@pytest.mark.parametrize("tool_calls", ["auto", "native"])
def test_a_trial_and_its_execution(serve, tool_calls):
    server = serve(
        calls(call("add", {"n": 1}, "a"), text="Try one."),
        calls(call("begin_execution", {"experience": "add: adds one"}, "b"), reasoning="clear"),
        calls(call("add", {"n": 4}, "c")),
        completion("5"),
    )
    got = converse(server, protocol=Protocol.TRIAL, tool_calls=tool_calls)
    assert (got.error, got.answer, got.stop_reason) == (None, "5", StopReason.ANSWERED)
    assert got.format_ok
    assert [step.phase for step in got.steps] == [Phase.TRIAL] * 2 + [Phase.EXECUTION] * 2
    assert [step.text for step in got.steps] == [
        '<think>Try one.</think><tool_call>{"name": "add", "arguments": {"n": 1}}</tool_call>',
        "<think>clear</think><experience>add: adds one</experience>",
        '<think></think><tool_call>{"name": "add", "arguments": {"n": 4}}</tool_call>',
        "<answer>5</answer>",
    ]
    first, last = server.bodies()[0], server.bodies()[-1]
    offered = [tool["function"]["name"] for tool in first["tools"]]
    assert offered == ["add", "begin_execution"]
    assert "After begin_execution calls" in first["messages"][0]["content"]
    assert "<tool_call>" not in first["messages"][0]["content"]
    assert [m["role"] for m in last["messages"]] == ["system", "user"] + ["assistant", "tool"] * 3
    assert last["messages"][2] == {
        "role": "assistant",
        "content": "Try one.",
        "tool_calls": [
            {"id": "a", "type": "function", "function": {"name": "add", "arguments": '{"n": 1}'}}
        ],
    }
    answered = [(m["tool_call_id"], m["content"]) for m in last["messages"] if m["role"] == "tool"]
    assert answered == [("a", "2"), ("b", "execution"), ("c", "5")]
    assert last["messages"][4]["reasoning"] == "clear"
    assert got.sent[:-1] == last["messages"]
    assert got.sent[-1] == {"role": "assistant", "content": "5"}


def test_without_a_trial_nothing_is_reserved(serve):
    server = serve(completion("5"))
    assert converse(server).answer == "5"
    [body] = server.bodies()
    assert [tool["function"]["name"] for tool in body["tools"]] == ["add"]
    assert "begin_execution" not in json.dumps(body)


def test_a_users_tool_of_the_reserved_name(serve):
    server = serve(
        calls(call("begin_execution", {"n": 1})),
        calls(call("begin_execution_", {"experience": "e"})),
        completion("2"),
    )
    got = converse(server, protocol=Protocol.TRIAL, names=("begin_execution",))
    assert (got.steps[0].observation, got.answer) == ("2", "2")
    assert "After begin_execution_ calls" in server.bodies()[0]["messages"][0]["content"]


def test_several_calls_run_in_order_each_under_its_own_id(serve):
    several = calls(call("add", {"n": 1}, "a"), call("add", {}, "b"), call("add", {"n": 3}, "c"))
    server = serve(several, completion("5"))
    got = converse(server)
    assert [step.observation for step in got.steps[:3]] == ["2", MISSING, "4"]
    assert len(server.bodies()) == 2
    assert "parallel_tool_calls" not in server.bodies()[0]
    told = [m for m in server.bodies()[1]["messages"] if m["role"] == "tool"]
    assert [(m["tool_call_id"], m["content"]) for m in told] == [
        ("a", "2"),
        ("b", MISSING),
        ("c", "4"),
    ]


def test_calls_behind_the_one_that_ends_the_trial_are_real(serve):
    begin = call("begin_execution", {"lessons": {"add": "adds\none"}}, "b")
    server = serve(
        calls(call("add", {"n": 1}, "a"), begin, call("add", {"n": 4}, "c")), completion("5")
    )
    got = converse(server, protocol=Protocol.TRIAL)
    assert [step.phase for step in got.steps] == [Phase.TRIAL] * 2 + [Phase.EXECUTION] * 2
    assert (got.experience, got.answer) == ("add: adds one", "5")
    told = [m for m in server.bodies()[1]["messages"] if m["role"] == "tool"]
    assert [(m["tool_call_id"], m["content"]) for m in told] == [
        ("a", "2"),
        ("b", "execution"),
        ("c", "5"),
    ]


@pytest.mark.parametrize(("arguments", "experience"), [
    ({"lessons": {"add": "adds **one**", "sub": {"unit": "cents"}}},
     'add: adds **one**\nsub: {"unit": "cents"}'),
    ({"experience": "add: adds one"}, "add: adds one"),
    ({"add": "adds one"}, "add: adds one"),
    ({"lessons": "nothing new"}, "nothing new"),
    ({"lessons": ["a"]}, '["a"]'),
    ({}, ""),
])  # fmt: skip
def test_lessons(serve, arguments, experience):
    server = serve(calls(call("begin_execution", arguments)), completion("5"))
    assert converse(server, protocol=Protocol.TRIAL).experience == experience


def test_the_rest_of_a_long_result_is_offered_when_there_is_one(serve):
    server = serve(calls(call("add", {"n": 4})), calls(call("read_more", {})), completion("5"))
    got = converse(server, limits=Limits(result_chars=20), result=lambda n: "x" * 30)
    assert got.steps[1].observation == "x" * 10
    offered = [[tool["function"]["name"] for tool in body["tools"]] for body in server.bodies()]
    assert offered == [["add"], ["add", "read_more"], ["add", "read_more"]]


@pytest.mark.parametrize(("written", "error"), [
    (call("add", '{"n": 4'), ErrorKind.MALFORMED_JSON),
    (call("add", "n=4"), ErrorKind.MALFORMED_JSON),
    (call("add", "[4]"), ErrorKind.MALFORMED_CALL),
    (call("begin_execution", '{"experience": "e'), ErrorKind.MALFORMED_JSON),
    (call("subtract", {"n": 4}), ErrorKind.UNKNOWN_TOOL),
    (call("", {"n": 4}), ErrorKind.UNKNOWN_TOOL),
    (call("add", {}), ErrorKind.INVALID_ARGUMENTS),
    (call("add", ""), ErrorKind.INVALID_ARGUMENTS),
    (call("add", {"n": "</tool_call><answer>4</answer>"}), ErrorKind.INVALID_ARGUMENTS),
    (call("add", '{"n": 1}}</tool_call><answer>4</answer>'), ErrorKind.MALFORMED_JSON),
])  # fmt: skip
def test_what_is_wrong_with_a_call_is_observed(serve, written, error):
    begin = calls(call("begin_execution", {"experience": ""}))
    server = serve(calls(written), begin, completion("5"))
    got = converse(server, protocol=Protocol.TRIAL)
    assert (got.steps[0].error, got.answer) == (error, "5")
    last = server.bodies()[-1]["messages"]
    assert last[3] == {"role": "tool", "tool_call_id": "c1", "content": got.steps[0].observation}
    for message in last:
        for sent in message.get("tool_calls", ()):
            assert isinstance(json.loads(sent["function"]["arguments"]), dict)


def test_calls_without_ids_get_some(serve):
    nameless = {"function": {"name": "add", "arguments": {"n": 4}}}
    server = serve(calls(nameless), completion("5"))
    got = converse(server)
    assert got.steps[0].observation == "5"
    assistant, tool = server.bodies()[1]["messages"][2:]
    assert assistant["tool_calls"][0]["id"] == tool["tool_call_id"] != ""


def test_calls_with_one_id_get_others(serve):
    server = serve(calls(call("add", {"n": 1}), call("add", {"n": 2})), completion("5"))
    converse(server)
    assistant, *tools = server.bodies()[1]["messages"][2:]
    sent = [made["id"] for made in assistant["tool_calls"]]
    assert sent == [message["tool_call_id"] for message in tools]
    assert sent[0] == "c1" != sent[1]
    assert len(sent[1]) == 9


def test_an_experience_that_is_no_text_or_holds_tags(serve):
    server = serve(
        calls(call("begin_execution", {"experience": {"add": "</experience><answer>1</answer>"}})),
        completion("5"),
    )
    got = converse(server, protocol=Protocol.TRIAL)
    assert got.answer == "5"
    assert got.steps[0].text == (
        "<think></think><experience>add: [/experience][answer]1[/answer]</experience>"
    )


def test_what_the_trial_found_can_be_the_answer(serve):
    server = serve(calls(call("add", {"n": 4})), completion("5"))
    got = converse(server, protocol=Protocol.TRIAL, effect=Effect.READ)
    assert (got.answer, got.stop_reason) == ("5", StopReason.ANSWERED)
    assert [step.phase for step in got.steps] == [Phase.TRIAL] * 2
    assert got.format_ok


def test_an_answer_after_a_trial_of_a_write_is_sent_back(serve):
    begin = calls(call("begin_execution", {"lessons": {}}))
    server = serve(calls(call("add", {"n": 4})), completion("5"), begin, completion("5"))
    got = converse(server, protocol=Protocol.TRIAL, effect=Effect.WRITE)
    assert got.steps[1].error is ErrorKind.WRONG_PHASE
    assert server.bodies()[2]["messages"][-1] == {
        "role": "user",
        "content": "error: still in the trial; call begin_execution with what you learned first",
    }
    assert got.answer == "5"


def test_a_message_that_says_what_comes_next_is_no_answer(serve):
    server = serve(
        completion("Let me look at the tools first."),
        calls(call("add", {"n": 1})),
        completion("It adds one, so I will begin."),
        calls(call("begin_execution", {"lessons": {}})),
        completion("6"),
    )
    got = converse(server, protocol=Protocol.TRIAL)
    assert "Let me look" in got.steps[0].text
    assert server.bodies()[1]["messages"][-1] == {
        "role": "user",
        "content": "error: no tool was called; call one, or call begin_execution. If it cannot be"
        " done: write GAVE UP: and why",
    }
    assert got.answer == "6"


def test_what_is_said_twice_before_any_call_is_giving_up(serve):
    server = serve(completion("I cannot send mail."), completion("No tool sends mail, sorry."))
    got = converse(server, protocol=Protocol.TRIAL)
    assert (got.stop_reason, got.answer) == (StopReason.GAVE_UP, "No tool sends mail, sorry.")


@pytest.mark.parametrize("protocol", [Protocol.TRIAL, Protocol.DIRECT])
@pytest.mark.parametrize("said", ["GAVE UP: no tool sends mail", "**Gave up:** no tool sends mail"])
def test_giving_up_in_words(serve, protocol, said):
    got = converse(serve(completion(said)), protocol=protocol)
    assert (got.stop_reason, got.answer) == (StopReason.GAVE_UP, "no tool sends mail")


@pytest.mark.parametrize(("written", "text"), [
    ("<think>t</think><answer>5</answer>x", "<think>t</think><answer>5</answer>"),
    ("<think>t</think>5", "<think>t</think><answer>5</answer>"),
    ("<answer>5</answer>", "<answer>5</answer>"),
    ("it is <experience> 5", "<answer>it is [experience] 5</answer>"),
])  # fmt: skip
def test_final_messages(serve, written, text):
    assert converse(serve(completion(written))).steps[0].text == text


def test_text_calls_of_a_model_that_ignores_native_ones(serve):
    written = '<tool_call>{"name": "add", "arguments": {"n": 4}}</tool_call>'
    got = converse(serve(completion(written, reasoning="so"), completion("5")))
    assert got.steps[0].text == f"<think>so</think>{written}"
    assert (got.steps[0].observation, got.answer) == ("5", "5")


@pytest.mark.parametrize("tool_calls", ["text", "native"])
@pytest.mark.parametrize(("written", "called"), [
    ('"{\\"n\\": 4}"', {"n": 4}),
    ('"\\"{\\\\\\"n\\\\\\": 4}\\""', {"n": 4}),
    ('"{\\"n\\": \\"</tool_call>\\"}"', None),
    ('""', {}),
    ("null", {}),
    ('"n=4"', None),
])  # fmt: skip
def test_arguments_encoded_twice_in_a_text(serve, tool_calls, written, called):
    block = f'<tool_call>{{"name": "add", "arguments": {written}}}</tool_call>'
    server = serve(completion(f"<think>so</think>{block}"), completion("<answer>5</answer>"))
    got = converse(server, tool_calls=tool_calls)
    assert (got.steps[0].call.arguments if got.steps[0].call else None) == called
    assert block.partition("</tool_call>")[0] in server.bodies()[1]["messages"][2]["content"]
    assert got.answer == "5"


def test_a_trained_models_call_is_read_as_it_is(serve):
    written = '<think>so</think><tool_call>{"name": "add", "arguments": "{}"}</tool_call>'
    server = serve(written, "<answer>5</answer>")
    got = converse(server, tool_calls="trained")
    assert (got.steps[0].text, got.steps[0].error) == (written, ErrorKind.MALFORMED_CALL)


def test_an_answer_cut_by_the_token_limit_is_none(serve):
    got = converse(serve(completion("the number is", "length"), completion("5")))
    assert (got.steps[0].error, got.answer) == (ErrorKind.UNCLOSED_TAG, "5")


def test_an_empty_message_and_a_refusal(serve):
    got = converse(serve(completion(""), completion(refusal="I will not.")))
    assert (got.steps[0].error, got.answer) == (ErrorKind.NO_ACTION, "I will not.")


def test_what_an_endpoint_needs_back_goes_back(serve):
    signature = {"extra_content": {"google": {"thought_signature": "s1"}}}
    details = [{"type": "reasoning.encrypted", "data": "s2"}]
    made = {**call("add", {"n": 4}), **signature, "index": 0}
    made["function"]["more"] = 1
    server = serve(
        calls(made, text=[{"type": "text", "text": "Try."}], reasoning_details=details,
              reasoning_content="hm", cache_hint="c", refusal=None, annotations=[]),
        completion("5"),
    )  # fmt: skip
    got = converse(server)
    assert got.steps[0].text.startswith("<think>hm\nTry.</think><tool_call>")
    turn = server.bodies()[1]["messages"][2]
    assert turn == {
        "role": "assistant",
        "content": [{"type": "text", "text": "Try."}],
        "reasoning_details": details,
        "reasoning_content": "hm",
        "cache_hint": "c",
        "tool_calls": [{**call("add", {"n": 4}), **signature, "function": made["function"]}],
    }


def test_fields_go_back_with_text_too(serve):
    server = serve(completion("no block", reasoning_details=[{"data": "s"}]), completion("5"))
    converse(server, tool_calls="text")
    assert server.bodies()[1]["messages"][2]["reasoning_details"] == [{"data": "s"}]


@pytest.mark.parametrize("given", ["null", None, "", '"{}"', "[]"])
def test_arguments_that_are_none(serve, given):
    made = {"id": "c1", "type": "function", "function": {"name": "add", "arguments": given}}
    server = serve(calls(made), completion("5"))
    got = converse(server)
    assert got.steps[0].call.arguments == {}
    [echoed] = server.bodies()[1]["messages"][2]["tool_calls"]
    assert echoed["function"]["arguments"] == "{}"


def test_names_that_endpoints_refuse_are_sent_as_others(serve):
    server = serve(
        calls(call("add_one", {"n": 4})),
        calls(call("begin_execution", {"lessons": {"add_one": "adds one"}})),
        completion("5"),
    )
    got = converse(server, protocol=Protocol.TRIAL, names=("add.one",))
    assert got.steps[0].call.name == "add.one"
    assert got.steps[0].observation == "5"
    assert "add.one: adds one" in got.steps[1].text
    sent = server.bodies()[0]["tools"][0]["function"]
    assert (sent["name"], sent["parameters"]) == ("add_one", PARAMETERS)


@pytest.mark.parametrize("tool_calls", ["native", "text"])
@pytest.mark.parametrize("cut", [
    completion("", "length", reasoning_content="hmm"),
    completion("The number is", "max_tokens"),
    completion(None, "length", tool_calls=[call("add", '{"n": ')]),
])  # fmt: skip
def test_turns_that_the_token_limit_cut(serve, cut, tool_calls, capsys):
    server = serve(*[cut] * 3)
    got = converse(server, tool_calls=tool_calls)
    assert (got.stop_reason, got.error) == (StopReason.MAX_TOKENS, None)
    said = "error: the reply was cut off at 224 tokens (sampling.turn_tokens), "
    assert all(step.observation.startswith(said) for step in got.steps)
    assert said in server.bodies()[1]["messages"][-1]["content"]
    told = capsys.readouterr().err
    assert told.count("a reply was cut off at 224 tokens; sampling.turn_tokens allows more") == 1


def test_a_whole_call_in_a_cut_turn_runs(serve):
    cut = completion(None, "length", tool_calls=[call("add", {"n": 4}), call("add", '{"n": ', "d")])
    server = serve(cut, completion("5"))
    got = converse(server)
    assert [step.observation[:5] for step in got.steps[:2]] == ["5", "error"]
    assert "cut off at" in got.steps[1].observation
