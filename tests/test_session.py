"""Sessions: every error kind and stop reason, and that a trial never changes the real state."""

import asyncio
import copy
import inspect
import json
import random
import threading

import pytest

from toolmaster.errors import PolicyError
from toolmaster.limits import AgentLimits, Limits
from toolmaster.policies.scripted import ScriptedPolicy
from toolmaster.protocols import Protocol
from toolmaster.rollouts import RolloutRequest, run_rollout
from toolmaster.serving.record import trajectory_of
from toolmaster.session import EXECUTION_BEGINS, Session
from toolmaster.tasksets import FollowUp, Task
from toolmaster.tools import Tool, ToolRefusal, ToolSet, from_function
from toolmaster.types import (
    FORMAT_ERRORS,
    ActionKind,
    Effect,
    ErrorKind,
    Message,
    Phase,
    Score,
    StopReason,
)
from toolmaster.world.goals import draw_arguments

TRIAL, DIRECT, PAPER = Protocol.TRIAL, Protocol.DIRECT, Protocol.PAPER
ANY = {"type": "object"}
ITEM = {
    "type": "object",
    "properties": {"item": {"type": "string"}},
    "required": ["item"],
    "additionalProperties": False,
}
EXPERIENCE = "<think>t</think><experience>get_stock: as documented</experience>"


def add(state, arguments):
    state["log"].append(arguments)
    return "done"


def fail(_state, _arguments):
    raise ValueError("boom")


def refuse(_state, _arguments):
    raise ToolRefusal("unknown 'rye'; write it like 'RYE'")


def tool(execute, effect=Effect.READ, name="tool", timeout_s=None, parameters=ANY):
    return Tool(name, "", parameters, execute, effect, timeout_s)


def session(*tools, protocol=DIRECT, state=None, check=None, fork=True, **limits):
    state = {"log": []} if state is None else state

    def make():
        return ToolSet(tools, state, copy.deepcopy if fork else None)

    return Session(Task("t/1", "how many?", make, check=check), protocol, Limits(**limits))


def call(name="tool", /, **arguments):
    text = json.dumps({"name": name, "arguments": arguments})
    return f"<think>t</think><tool_call>{text}</tool_call>"


def answer(text="4"):
    return f"<think>t</think><answer>{text}</answer>"


def play(a_session, *turns):
    """All steps of these turns."""

    async def run():
        return [await a_session.step(turn) for turn in turns]

    return asyncio.run(run())


def only(a_session, turn):
    [step] = play(a_session, turn)
    return step


@pytest.mark.parametrize(
    ("turn", "error", "observation"),
    [
        (
            "hm",
            ErrorKind.NO_ACTION,
            "write exactly one tool_call or answer block after your thought",
        ),
        ("<answer>4", ErrorKind.UNCLOSED_TAG, "the answer block is never closed"),
        (answer() * 2, ErrorKind.SEVERAL_ACTIONS, "write one block a turn, got 2; none was run"),
        (
            "<tool_call>[]</tool_call>",
            ErrorKind.MALFORMED_CALL,
            'a call is {"name": text, "arguments": object}',
        ),
        (
            "<tool_call>{</tool_call>",
            ErrorKind.MALFORMED_JSON,
            "the call is not valid JSON: Expecting property name enclosed in double quotes:"
            " line 1 column 2 (char 1)",
        ),
        (
            EXPERIENCE,
            ErrorKind.WRONG_PHASE,
            "there is no experience block here; write a tool_call or answer block",
        ),
    ],
)
def test_format_errors_are_answered(turn, error, observation):
    a_session = session()
    step = only(a_session, turn)
    assert (step.action, step.error) == (ActionKind.INVALID, error)
    assert step.observation == f"error: {observation}"
    assert error in FORMAT_ERRORS
    assert a_session.stop_reason is None
    assert a_session.steps == [step]


def test_several_actions_run_none():
    state = {"log": []}
    step = only(session(tool(add), state=state), call() + call())
    assert step.error is ErrorKind.SEVERAL_ACTIONS
    assert state == {"log": []}


@pytest.mark.parametrize(
    ("name", "observation"),
    [
        ("get_stok", 'no tool "get_stok"; did you mean "get_stock"? the tools are: '),
        ("zzz", 'no tool "zzz"; the tools are: '),
    ],
)
def test_an_unknown_tool(name, observation):
    tools = [tool(add, name="get_stock"), tool(add, name="put_price")]
    step = only(session(*tools), call(name))
    assert step.error is ErrorKind.UNKNOWN_TOOL
    assert step.observation == f'error: {observation}"get_stock", "put_price"'


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, 'missing required parameter "item"'),
        ({"item": "a", "x": 1}, 'unknown parameter "x"; allowed: "item"'),
        ({"item": 3}, 'item: 3 is not of type "string"'),
    ],
)
def test_arguments_that_break_the_schema(arguments, message):
    state = {"log": []}
    step = only(session(tool(add, parameters=ITEM), state=state), call(**arguments))
    assert (step.action, step.error) == (ActionKind.CALL, ErrorKind.INVALID_ARGUMENTS)
    assert step.observation == f"error: {message}"
    assert state == {"log": []}


class PanicException(BaseException):
    """As extensions in Rust raise it."""


@pytest.mark.parametrize("timeout_s", [None, 60.0])
@pytest.mark.parametrize(
    ("error", "shown"),
    [
        (ValueError("boom"), "ValueError: boom"),
        (ToolRefusal("write it like 'RYE'"), "write it like 'RYE'"),
        (StopIteration(), "StopIteration"),
        (SystemExit(3), "RuntimeError: SystemExit: 3"),
        (PanicException("unwrap"), "RuntimeError: PanicException: unwrap"),
        (GeneratorExit("unwrap"), "RuntimeError: GeneratorExit: unwrap"),
    ],
)
def test_whatever_a_tool_raises_is_answered(timeout_s, error, shown):
    def execute(_state, _arguments):
        raise error

    step = only(session(tool(execute, timeout_s=timeout_s)), call())
    assert step.error is ErrorKind.TOOL_ERROR
    assert step.observation.startswith("error: ")
    assert shown in step.observation


@pytest.mark.parametrize("timeout_s", [None, 5.0])
def test_an_async_tool_that_exits(timeout_s):
    async def execute(_state, _arguments):
        raise SystemExit(3)

    step = only(session(tool(execute, timeout_s=timeout_s)), call())
    assert step.observation == "error: RuntimeError: SystemExit: 3"


def test_tool_without_a_limit_that_raises_timeout_error():
    def slow(_state, _arguments):
        raise TimeoutError("upstream")

    step = only(session(tool(slow)), call())
    assert step.observation == "error: TimeoutError: upstream"
    assert step.error is ErrorKind.TOOL_ERROR


def test_timeout_of_a_plain_tool():
    release = threading.Event()

    def wait(_state, _arguments):
        release.wait(20)

    async def run():
        step = await session(tool(wait, timeout_s=0.01)).step(call())
        release.set()
        return step

    step = asyncio.run(run())
    assert (step.error, step.observation) == (ErrorKind.TIMEOUT, "error: no answer within 0.01 s")


def test_timeout_of_an_async_tool():
    cancelled = []

    async def wait(_state, _arguments):
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.append(True)
            raise

    step = only(session(tool(wait, timeout_s=0.01)), call())
    assert (step.error, step.observation) == (ErrorKind.TIMEOUT, "error: no answer within 0.01 s")
    assert cancelled == [True]


def test_timeout_of_a_plain_function_that_returns_an_awaitable():
    async def wait(_state):
        await asyncio.Event().wait()

    step = only(session(tool(lambda s, a: wait(s), timeout_s=0.01)), call())
    assert step.error is ErrorKind.TIMEOUT


def test_an_awaitable_that_comes_after_the_time_limit_is_let_go():
    """It would warn that nobody awaits it; warnings are errors here."""
    late = threading.Event()
    made = []

    async def wait():
        await asyncio.Event().wait()

    def slow(_state, _arguments):
        late.wait(10)
        made.append(wait())
        return made[0]

    before = set(threading.enumerate())
    step = only(session(tool(slow, timeout_s=0.5)), call())  # long enough for the thread to begin
    assert step.error is ErrorKind.TIMEOUT
    late.set()
    for thread in set(threading.enumerate()) - before:
        thread.join(10)
    assert made
    assert inspect.getcoroutinestate(made[0]) == inspect.CORO_CLOSED


@pytest.mark.parametrize("timeout_s", [None, 5.0])
def test_async_results_are_awaited(timeout_s):
    async def get(_state, arguments):
        return arguments["x"] + 1

    for execute in (get, lambda s, a: get(s, a)):  # noqa: PLW0108 - a plain function is the point
        step = only(session(tool(execute, timeout_s=timeout_s)), call(x=1))
        assert (step.error, step.observation) == (None, "2")


@pytest.mark.parametrize(
    ("result", "shown"),
    [
        ("text", "text"),
        (4.5, "4.5"),
        (None, "null"),
        ({"a": ["é"]}, '{"a": ["é"]}'),
        ({"a": Phase.TRIAL}, '{"a": "trial"}'),
        ("half \ud800", "half ?"),
    ],
)
def test_results_are_shown_as_text_or_json(result, shown):
    step = only(session(tool(lambda s, a: result)), call())
    assert (step.error, step.observation) == (None, shown)


def test_result_that_cannot_be_shown():
    loop = []
    loop.append(loop)
    step = only(session(tool(lambda s, a: loop)), call())
    assert step.error is ErrorKind.TOOL_ERROR


@pytest.mark.parametrize(
    ("length", "shown"),
    [(20, "x" * 20), (21, "x" * 20 + " [cut: 20 of 21 characters shown]")],
)
def test_a_long_result_is_cut(length, shown):
    step = only(session(tool(lambda s, a: "x" * length), result_chars=20), call())
    assert step.observation == shown


def test_trial_budget():
    a_session = session(tool(add, Effect.WRITE), protocol=TRIAL, trial_calls=2)
    steps = play(a_session, call(), call("zzz"), call(), EXPERIENCE, call())
    assert [step.error for step in steps] == [
        None,
        ErrorKind.UNKNOWN_TOOL,  # costs a call too
        ErrorKind.BUDGET_EXHAUSTED,
        None,
        None,
    ]
    assert steps[2].observation == (
        "error: the trial budget of 2 calls is used up; write your experience"
    )


def test_phases_of_a_trial_trajectory():
    state = {"log": []}
    a_session = session(tool(add, Effect.WRITE), protocol=TRIAL, state=state)
    steps = play(a_session, call(x=1), call(x=2))
    assert state == {"log": []}
    steps += play(a_session, EXPERIENCE, call(x=3), answer("yes"))
    assert state == {"log": [{"x": 3}]}
    assert [step.phase for step in steps] == [Phase.TRIAL] * 3 + [Phase.EXECUTION] * 2
    assert steps[2].observation == EXECUTION_BEGINS
    assert steps[4].observation is None
    assert a_session.experience == "get_stock: as documented"
    assert (a_session.answer, a_session.stop_reason) == ("yes", StopReason.ANSWERED)


def test_trial_calls_share_one_fork():
    def count(state, _arguments):
        state["log"].append(1)
        return len(state["log"])

    steps = play(session(tool(count), protocol=TRIAL), call(), call(), EXPERIENCE, call())
    assert [step.observation for step in steps] == ["1", "2", EXECUTION_BEGINS, "1"]


class Opens:
    """Opens what it needs in its first call; that cannot be copied."""

    lock = None


def test_a_state_that_can_no_longer_be_copied_is_answered():
    def use(state, _arguments):
        state.lock = threading.Lock()
        return "used"

    state = Opens()
    turns = [call(), EXPERIENCE, call()]
    before = play(session(tool(use), protocol=TRIAL, state=state), *turns)
    assert [step.observation for step in before] == ["used", EXECUTION_BEGINS, "used"]
    [tried, _, real] = play(session(tool(use), protocol=TRIAL, state=state), *turns)
    assert tried.error is ErrorKind.NOT_EXECUTED
    assert tried.observation.startswith("error: cannot be tried: TypeError: cannot pickle")
    assert (real.observation, real.error) == ("used", None)


def test_wrong_phase():
    a_session = session(protocol=TRIAL)
    early, experience, late = play(a_session, answer(), EXPERIENCE, EXPERIENCE)
    assert (early.action, early.error) == (ActionKind.INVALID, ErrorKind.WRONG_PHASE)
    assert early.observation == "error: still in the trial; write your experience first"
    assert experience.error is None
    assert (late.action, late.error) == (ActionKind.INVALID, ErrorKind.WRONG_PHASE)
    assert late.observation == "error: the trial is over; call a tool or answer"
    assert (a_session.answer, a_session.stop_reason) == (None, None)


@pytest.mark.parametrize("effect", [Effect.WRITE, Effect.DESTRUCTIVE, Effect.UNKNOWN])
def test_without_a_fork_only_reads_are_tried(effect):
    state = {"log": []}
    tools = [tool(add, effect), tool(lambda s, a: len(s["log"]), name="count")]
    a_session = session(*tools, protocol=TRIAL, state=state, fork=False)
    tried, read, _, real, counted = play(
        a_session, call(), call("count"), EXPERIENCE, call(), call("count")
    )
    assert (tried.action, tried.error) == (ActionKind.CALL, ErrorKind.NOT_EXECUTED)
    assert tried.observation == (
        "not executed: the call is valid; a trial runs only what reads, and the effect of tool is"
        f" {effect}; in execution it runs for real"
    )
    assert (read.error, read.observation) == (None, "0")
    assert (real.error, counted.observation) == (None, "1")


def test_without_a_fork_arguments_are_checked_all_the_same():
    a_session = session(tool(add, Effect.WRITE, parameters=ITEM), protocol=TRIAL, fork=False)
    assert only(a_session, call()).error is ErrorKind.INVALID_ARGUMENTS


@pytest.mark.parametrize("protocol", [DIRECT, PAPER])
def test_calls_are_real_from_the_start_without_a_trial(protocol):
    state = {"log": []}
    step = only(session(tool(add, Effect.WRITE), protocol=protocol, state=state), call(x=1))
    assert (step.phase, state) == (Phase.EXECUTION, {"log": [{"x": 1}]})


def test_max_turns():
    a_session = session(tool(add), max_turns=2)
    steps = play(a_session, call(), call())
    assert a_session.stop_reason is StopReason.MAX_TURNS
    assert [step.observation for step in steps] == ["done", "done"]


def test_an_agent_is_told_before_its_turns_end():
    limits = AgentLimits(max_turns=5)
    tools = ToolSet((tool(lambda s, a: "done"),))
    a_session = Session(Task("t", "q", tools=lambda: tools), DIRECT, limits)
    shown = [step.observation for step in play(a_session, call(), call(), call())]
    assert shown == ["done", "done [3 turns are left: answer with what you have]", "done"]


@pytest.mark.parametrize("protocol", [TRIAL, DIRECT])
def test_a_task_can_be_given_up_at_any_time(protocol):
    a_session = session(tool(add), protocol=protocol)
    step = only(a_session, "<think>t</think><give_up>no tool sends mail</give_up>")
    assert (step.action, step.observation, step.error) == (ActionKind.GIVE_UP, None, None)
    assert (a_session.stop_reason, a_session.answer) == (StopReason.GAVE_UP, "no tool sends mail")


def test_a_long_result_can_be_read_on():
    a_session = session(tool(lambda s, a: "abcdefghij" * 5), result_chars=30)
    steps = play(a_session, call(), call("read_more"), call("read_more"))
    assert [step.observation for step in steps] == [
        f"{'abcdefghij' * 3} [cut: 30 of 50 characters shown]",
        "abcdefghij" * 2,
        "there is nothing more to read",
    ]
    assert [step.text for step in steps] == [call(), call("read_more"), call("read_more")]
    assert [step.error for step in steps] == [None] * 3


def test_a_tool_called_read_more_is_a_tool_like_others():
    a_session = session(tool(lambda s, a: "mine", name="read_more"))
    assert only(a_session, call("read_more")).observation == "mine"


def test_an_answer_must_fit_the_schema_of_the_task():
    schema = {"type": "object", "required": ["total"], "properties": {"total": {"type": "number"}}}
    task = Task("t", "q", tools=[], answer_schema=schema)
    a_session = Session(task, DIRECT, Limits())
    turns = [answer("four"), answer('{"total": "4"}'), answer('{"total": 4}')]
    prose, wrong, right = play(a_session, *turns)
    assert "it is not JSON" in str(prose.observation)
    assert wrong.observation == (
        'error: the answer does not fit its schema: total: "4" is not of type "number"'
    )
    assert {prose.error, wrong.error} == {ErrorKind.INVALID_ANSWER}
    assert (right.error, a_session.answer) == (None, '{"total": 4}')
    assert str(schema["required"][0]) in a_session.prompt()[0].content


def test_instructions_history_and_what_the_trial_runs_are_in_the_prompt():
    earlier = (Message(role="user", content="Hi"), Message(role="assistant", content="Hello"))
    tools = ToolSet((tool(add, Effect.WRITE), tool(refuse, name="count")))
    task = Task("t", "q", tools=lambda: tools, instructions="Be brief.", history=earlier)
    system, *rest = Session(task, TRIAL, Limits()).prompt()
    assert system.content.endswith(
        'The trial runs "count" only; calls of the others are checked and not run.\nBe brief.'
    )
    assert [m.content for m in rest] == ["Hi", "Hello", "q"]


def test_an_answer_in_the_last_turn_counts():
    a_session = session(tool(add), max_turns=2)
    play(a_session, call(), answer())
    assert a_session.stop_reason is StopReason.ANSWERED


def test_too_many_invalid_turns_in_a_row():
    a_session = session(tool(add), invalid_turns=2)
    play(a_session, "hm", call(), "hm")
    assert a_session.stop_reason is None
    play(a_session, "hm")
    assert a_session.stop_reason is StopReason.INVALID_TURNS


def test_tool_errors_are_no_invalid_turns():
    a_session = session(tool(fail), invalid_turns=1)
    play(a_session, call(), call("zzz"))
    assert a_session.stop_reason is None


def test_a_tool_whose_own_model_fails_breaks_the_rollout():
    """A simulator that cannot be asked says nothing of the policy that called it."""

    def dead(_state, _arguments):
        raise PolicyError("the simulator is dead")

    policy = ScriptedPolicy([call()])
    request = RolloutRequest(Task("t/1", "q", [tool(dead)]))
    trajectory = asyncio.run(run_rollout(request, policy, DIRECT, Limits()))
    assert trajectory.stop_reason is StopReason.POLICY_ERROR
    assert (trajectory.error, trajectory.score) == ("the simulator is dead", None)


def test_an_ended_session_takes_no_more_turns():
    a_session = session()
    play(a_session, answer())
    with pytest.raises(RuntimeError, match="task 't/1' has ended: answered"):
        play(a_session, answer())
    assert len(a_session.steps) == 1


def test_prompt_and_score():
    seen = []

    def check(trajectory, tools):
        seen.append((trajectory.answer, tools.state))
        return Score.of(True, answer=True, state=True)

    a_session = session(tool(add, Effect.WRITE), protocol=TRIAL, check=check, trial_calls=3)
    system, user = a_session.prompt()
    assert (system.role, user.role, user.content) == ("system", "user", "how many?")
    assert "at most 3" in system.content
    play(a_session, call(x=1), EXPERIENCE, call(x=2), answer("4"))
    record = asyncio.run(trajectory_of(a_session, "me"))
    assert record.score.success
    assert seen == [("4", {"log": [{"x": 2}]})]
    assert asyncio.run(session().score(record)) is None


def test_a_function_becomes_a_tool_of_a_session():
    async def double(x: int) -> int:
        """Double it."""
        return 2 * x

    assert only(session(from_function(double)), call("double", x=21)).observation == "42"


def random_call(rng, drawn):
    view = rng.choice(drawn.views)
    arguments = draw_arguments(view.operation, drawn.start, rng)
    return call(view.name, **rng.choice((view.send, view.shown))(arguments))


def test_a_thousand_trial_calls_never_change_the_real_state(world, task_ids):
    rng = random.Random(7)
    ran = 0
    for task_id in task_ids("train", 10) + task_ids("test", 10):
        drawn = world.draw(task_id)
        a_session = Session(drawn.task, TRIAL, Limits(max_turns=1000, trial_calls=50))
        steps = play(a_session, *(random_call(rng, drawn) for _ in range(50)))
        ran += sum(step.error is None for step in steps)
        assert a_session.tools.state == drawn.start, task_id
        assert a_session._fork.state != drawn.start or not any(
            view.operation.effect is not Effect.READ
            for views in drawn.chosen.values()  # other tools may have no record to write to
            for view in views
        )
    assert ran > 500  # enough of them did something


def test_trial_writes_change_the_fork(world, task_ids):
    drawn = world.draw(task_ids("train", 1, "irreversible")[0])
    a_session = Session(drawn.task, TRIAL, Limits())
    [write] = drawn.goal.calls_of(drawn.target)
    [view] = drawn.chosen[drawn.target]
    step = only(a_session, call(view.name, **view.send(write.arguments)))
    assert step.error is None
    assert a_session._fork.state != a_session.tools.state


def test_functions_without_state_are_not_run_in_a_trial_unless_they_read():
    ran = []

    def save(text: str) -> None:
        """Save a text."""
        ran.append(text)

    write = from_function(save, effect=Effect.WRITE)
    task = Task("t", "q", lambda: ToolSet((write,)))
    step = only(Session(task, TRIAL, Limits()), call("save", text="x"))
    assert step.error is ErrorKind.NOT_EXECUTED
    assert ran == []


def follow_up_session(*follow_ups, protocol=TRIAL, **limits):
    state = {"log": []}
    task = Task("t/1", "one?", lambda: ToolSet((tool(add),), state), follow_ups=follow_ups)
    return Session(task, protocol, Limits(**limits))


def test_follow_ups_come_after_answers_and_the_last_answer_counts():
    a_session = follow_up_session(FollowUp("two?"), FollowUp("three?"))
    turns = [EXPERIENCE, call(), answer("1"), answer("2"), EXPERIENCE, call(), answer("3")]
    steps = play(a_session, *turns)
    assert [step.observation for step in steps] == [
        EXECUTION_BEGINS,
        "done",
        "two?",
        "three?",
        "error: the trial is over; call a tool or answer",
        "done",
        None,
    ]
    assert [steps[i].observation_role for i in (1, 2, 3, 4)] == ["tool", "user", "user", "tool"]
    assert (a_session.answer, a_session.stop_reason) == ("3", StopReason.ANSWERED)


def test_a_follow_up_may_bring_tools():
    seen = []

    def arrive(tools):
        seen.append(list(tools.state["log"]))
        return ToolSet((*tools.tools, tool(add, name="late")), tools.state)

    a_session = follow_up_session(FollowUp("two?", arrive), protocol=DIRECT)
    steps = play(a_session, call(n=1), call("late"), answer(), call("late", n=2), answer())
    assert [step.error for step in steps] == [None, ErrorKind.UNKNOWN_TOOL, None, None, None]
    assert seen == [[{"n": 1}]]
    assert a_session.tools.state["log"] == [{"n": 1}, {"n": 2}]


def test_turns_are_limited_for_each_message():
    a_session = follow_up_session(FollowUp("two?"), protocol=DIRECT, max_turns=2)
    play(a_session, call(), answer(), call())
    assert a_session.stop_reason is None
    play(a_session, call())
    assert a_session.stop_reason is StopReason.MAX_TURNS


def test_a_tool_may_judge_its_arguments_itself():
    strict = Tool("tool", "", ITEM, add, Effect.READ)
    lenient = Tool("tool", "", ITEM, add, Effect.READ, validated=False)
    assert only(session(strict), call(size=3)).error is ErrorKind.INVALID_ARGUMENTS
    assert only(session(lenient), call(size=3)).observation == "done"
