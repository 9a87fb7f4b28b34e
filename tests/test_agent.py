"""The agent: experience from task to task, one budget, every trajectory kept."""

import asyncio
from dataclasses import replace

import pytest
from pydantic import BaseModel

from toolmaster.agent import Agent
from toolmaster.errors import ConfigError, InputError
from toolmaster.evaluation.evaluate import evaluate
from toolmaster.experience import Experience, ExperienceStore
from toolmaster.limits import AgentLimits, Budget, BudgetSettings
from toolmaster.policies.scripted import ScriptedPolicy
from toolmaster.runs import read_trajectories
from toolmaster.tools import Tool, ToolSet
from toolmaster.tools.permissions import AllowAll
from toolmaster.types import Effect, ErrorKind, Phase, StopReason

CALL = '<tool_call>{"name": "add", "arguments": {}}</tool_call>'
LEARNED = "<experience>add: adds one</experience>"
ANSWER = "<answer>done</answer>"


def add(state, arguments):
    state.append(1)
    return len(state)


@pytest.fixture
def tools():
    return ToolSet((Tool("add", "", {"type": "object"}, add, Effect.WRITE),), [], list)


class Watching:
    def __init__(self):
        self.seen = []

    def begin(self, task):
        self.seen.append(("begin", task.query))

    def step(self, task, step):
        self.seen.append((task.query, step.action))

    def end(self, trajectory):
        self.seen.append(("end", trajectory.answer))


def test_trials_leave_the_tools_alone_and_execution_is_real(tools, tmp_path):
    file = tmp_path / "kept.jsonl"
    agent = Agent(ScriptedPolicy([CALL, CALL, LEARNED, CALL, ANSWER]), tools, keep=file)
    got = asyncio.run(agent.arun("Add one."))
    assert (got.answer, got.stop_reason) == ("done", StopReason.ANSWERED)
    assert [s.observation for s in got.calls(Phase.TRIAL)] == ["1", "2"]
    assert [s.observation for s in got.calls(Phase.EXECUTION)] == ["1"]
    assert tools.state == [1]
    assert read_trajectories(file) == [got]


def test_experience_goes_from_task_to_task(tools, tmp_path):
    store = ExperienceStore(tmp_path / "experience.jsonl")
    agent = Agent(ScriptedPolicy([CALL, LEARNED, ANSWER]), tools, experience=Experience(store))
    first, second = asyncio.run(agent.arun_all(["a", "b"], concurrency=1))
    assert "adds one" not in first.prompt[1].content
    assert "add: adds one</experience>" in second.prompt[1].content


def test_the_same_query_again_is_another_rollout_of_the_same_task(tools):
    agent = Agent(ScriptedPolicy([LEARNED, ANSWER]), tools)
    got = asyncio.run(agent.arun_all(["a", "b", "a"]))
    assert [t.rollout for t in got] == [0, 0, 1]
    assert got[0].task_id == got[2].task_id != got[1].task_id


class Told(list):
    """A policy that follows instructions, plays these turns, and keeps the prompts."""

    name, instructed = "told", True

    def conversation(self, prompt, tools):
        self.prompts = [*getattr(self, "prompts", ()), prompt]
        return ScriptedPolicy(list(self)).conversation(prompt, tools)


def test_without_anything_to_try_there_is_no_trial(tools, tmp_path):
    untried = replace(tools, copy_state=None)
    [got] = Agent(Told([CALL, ANSWER]), untried).run_all(["a"])
    assert (got.protocol, got.stop_reason) == ("direct", StopReason.ANSWERED)
    trained = Agent(ScriptedPolicy([CALL, LEARNED, ANSWER]), untried).run("a")
    assert trained.protocol == "trial"


def test_where_every_tool_is_known_there_is_no_trial(tools, tmp_path):
    experience = Experience(ExperienceStore(tmp_path / "experience.jsonl"))
    first = Agent(Told([CALL, LEARNED, ANSWER]), tools, experience=experience).run("a")
    second = Agent(Told([CALL, ANSWER]), tools, experience=experience).run("b")
    assert (first.protocol, second.protocol) == ("trial", "direct")
    assert "add: adds one" in second.retrieved_experience


def test_with_lessons_a_trial_is_for_writes_that_are_not_known(tools, tmp_path):
    look = Tool("look", "", {"type": "object"}, lambda s, a: len(s), Effect.READ)
    tools = replace(tools, tools=(*tools.tools, look))
    experience = Experience(ExperienceStore(tmp_path / "experience.jsonl"))
    looked = [CALL.replace("add", "look"), LEARNED.replace("add", "look"), ANSWER]
    assert Agent(Told(looked), tools, experience=experience).run("a").protocol == "trial"
    played = [CALL, LEARNED, ANSWER]
    assert Agent(Told(played), tools, experience=experience).run("b").protocol == "trial"
    assert Agent(Told([ANSWER]), tools, experience=experience).run("c").protocol == "direct"


def test_a_follow_up_shows_what_was_said_before(tools):
    policy = Told([LEARNED, ANSWER])
    agent = Agent(policy, tools, instructions="Be brief.")
    agent.run("And three?", after=agent.run("And two?", after=agent.run("One?")))
    system, *rest = policy.prompts[-1]
    assert "Be brief." in system.content
    said = [(message.role, message.content) for message in rest]
    asked = [("user", "One?"), ("assistant", "done"), ("user", "And two?"), ("assistant", "done")]
    assert said == [*asked, ("user", "And three?")]


class Total(BaseModel):
    total: int


@pytest.mark.parametrize("answer_type", [Total, Total.model_json_schema()])
def test_an_answer_of_a_type(tools, answer_type):
    answers = ['<answer>{"total": "x"}</answer>', '<answer>{"total": 4}</answer>']
    got = Agent(ScriptedPolicy([LEARNED, *answers]), tools).run("a", answer_type=answer_type)
    assert Total.model_validate_json(got.answer).total == 4
    assert got.steps[1].error is ErrorKind.INVALID_ANSWER


def test_a_type_that_is_none(tools):
    agent = Agent(ScriptedPolicy([]), tools)
    with pytest.raises(InputError, match="a pydantic model or a JSON schema as a dict; received 3"):
        agent.run("a", answer_type=3)


def test_tasks_share_one_budget(tools):
    budget = Budget(BudgetSettings(max_calls=3))
    agent = Agent(ScriptedPolicy([CALL] * 9), tools, budget=budget)
    got = asyncio.run(agent.arun_all(["a", "b"]))
    assert {t.stop_reason for t in got} == {StopReason.BUDGET}
    assert budget.spent().calls == 3


def test_callbacks_see_what_happens(tools):
    watching = Watching()
    agent = Agent(ScriptedPolicy([LEARNED, ANSWER]), tools, callbacks=watching)
    asyncio.run(agent.arun("q"))
    assert watching.seen == [
        ("begin", "q"),
        ("q", "experience"),
        ("q", "answer"),
        ("end", "done"),
    ]


def test_a_failure_is_recorded_and_kept(tools, tmp_path):
    file = tmp_path / "kept.jsonl"
    got = asyncio.run(Agent(ScriptedPolicy([CALL]), tools, keep=file).arun("q"))
    assert got.stop_reason is StopReason.POLICY_ERROR
    assert read_trajectories(file) == [got]


def test_what_is_stopped_is_kept(tmp_path):
    file = tmp_path / "kept.jsonl"

    async def work():
        begun = asyncio.Event()

        async def hang(state, arguments):
            begun.set()
            await asyncio.Event().wait()

        hanging = ToolSet((Tool("add", "", {"type": "object"}, hang, Effect.READ),))
        policy = ScriptedPolicy(
            lambda p: [LEARNED, ANSWER] if p[-1].content == "a" else [LEARNED, CALL]
        )
        agent = Agent(policy, hanging, keep=file)
        running = asyncio.create_task(agent.arun_all(["a", "b", "c"], concurrency=2))
        await begun.wait()
        running.cancel()
        await running

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(work())
    kept = {t.prompt[-1].content: t for t in read_trajectories(file)}
    assert kept["a"].stop_reason is StopReason.ANSWERED
    assert kept["b"].stop_reason is StopReason.STOPPED
    assert [s.action for s in kept["b"].steps] == ["experience", "call"]


def test_text_that_is_no_text_is_mended(tools, tmp_path):
    file = tmp_path / "kept.jsonl"
    agent = Agent(ScriptedPolicy([LEARNED, ANSWER]), tools, keep=file)
    asyncio.run(agent.arun("half \ud800 a pair"))
    [kept] = read_trajectories(file)
    assert kept.prompt[-1].content == "half ? a pair"


def test_no_tools():
    with pytest.raises(InputError, match="needs tools, received none"):
        Agent(ScriptedPolicy([]), ToolSet(()))


@pytest.mark.parametrize("model", [None, "", "openai:", "openai: ", 3])
def test_no_model(tools, model):
    for use in (lambda: Agent(model, tools), lambda: evaluate(model, "world:short tasks=1")):
        with pytest.raises(ConfigError, match=f"a model is openai:NAME, .* received {model!r}"):
            use()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"protocol": "trail"},
            r"trial, direct, paper; received 'trail' \(did you mean 'trial'",
        ),
        ({"experience": "none"}, "an Experience.* or None for no lessons; received 'none'"),
    ],
)
def test_an_option_that_is_none(tools, options, message):
    with pytest.raises(ConfigError, match=message):
        Agent(ScriptedPolicy([]), tools, **options)


def test_no_concurrency(tools):
    with pytest.raises(ConfigError, match="at least 1, got 0"):
        asyncio.run(Agent(ScriptedPolicy([]), tools).arun_all(["q"], concurrency=0))


def test_a_file_that_cannot_be_written(tools, tmp_path):
    """The answer is told all the same: it was paid for."""
    watching = Watching()
    agent = Agent(ScriptedPolicy([LEARNED, ANSWER]), tools, keep=tmp_path, callbacks=watching)
    with pytest.raises(InputError, match="cannot append to"):
        asyncio.run(agent.arun("q"))
    assert watching.seen[-1] == ("end", "done")


@pytest.mark.parametrize(("policy", "turns", "chars"), [(Told, 100, 30_000), (None, 20, 2000)])
def test_a_model_that_is_told_what_to_do_has_large_limits(policy, turns, chars):
    """A model that was trained here keeps small ones, and what the user sets holds for all."""

    def read() -> str:
        """Returns much."""
        return "x" * 40_000

    def run(**options):
        replies = ['<tool_call>{"name": "read", "arguments": {}}</tool_call>'] * 200
        model = policy(replies) if policy else ScriptedPolicy(replies)
        agent = Agent(model, [read], protocol="direct", approver=AllowAll(), **options)
        return agent.run("q")

    got = run()
    assert (got.stop_reason, len(got.steps)) == (StopReason.MAX_TURNS, turns)
    assert f"[cut: {chars} of " in got.steps[0].observation
    got = run(limits=AgentLimits(max_turns=3))
    assert len(got.steps) == 3
    assert f"[cut: {chars} of " in got.steps[0].observation
