"""What the terminal shows of an agent at work."""

import io

import pytest
from rich.console import Console

from toolmaster.limits import Budget, BudgetSettings
from toolmaster.progress import bar
from toolmaster.report.live import (
    SHOWN_TOOLS,
    ManyTasks,
    OneTask,
    spent_text,
    tools_table,
)
from toolmaster.report.viewer import SHOWN_CHARS, records_table
from toolmaster.tasksets import Task
from toolmaster.tools import Tool, ToolSet
from toolmaster.types import (
    ActionKind,
    Effect,
    ErrorKind,
    Message,
    Phase,
    Step,
    StopReason,
    ToolCall,
    Trajectory,
    TrialMode,
)

HOSTILE = "\x1b[2J[red]x[/red]\r\x07\u202e"


@pytest.fixture
def console():
    return Console(file=io.StringIO(), width=80)


def shown(console):
    return console.file.getvalue()


def task(experience=""):
    return Task("t", "What does it cost?", lambda: ToolSet(()), experience=experience)


def call(observation="4", error=None, text="<think>try it</think>", **arguments):
    return Step(
        text=text,
        phase=Phase.TRIAL,
        action=ActionKind.CALL,
        call=ToolCall(name="price", arguments=arguments),
        observation=observation,
        error=error,
    )


def trajectory(query="q", **fields):
    usual = {"task_id": "t", "protocol": "trial", "policy": "p", "tools": []}
    return Trajectory(**(usual | {"prompt": [Message(role="user", content=query)]} | fields))


def view(console, *steps, experience="", **bounds):
    one = OneTask(console, Budget(BudgetSettings(**bounds)))
    one.begin(task(experience))
    for step in steps:
        one.step(task(), step)
    one.close()
    return shown(console)


def test_a_task_turn_by_turn(console):
    learned = Step(
        text="<think>cents</think><experience>price: in cents</experience>",
        phase=Phase.TRIAL,
        action=ActionKind.EXPERIENCE,
        observation="execution",
    )
    answer = Step(text="<answer>4</answer>", phase=Phase.EXECUTION, action=ActionKind.ANSWER)
    got = view(console, call("450", product="Rye"), learned, answer, experience="price: slow")
    order = ["What does it cost?", "known from before", "price: slow", "trial phase", "try it"]
    order += ['1 call  price {"product": "Rye"}', "450", "learned", "price: in cents"]
    order += ["execution phase", "3 answer"]
    places = [got.index(text) for text in order]
    assert places == sorted(places)
    assert got.count("trial phase") == 1


def test_an_error_is_named(console):
    assert "tool_error" in view(console, call("error: no", ErrorKind.TOOL_ERROR))


def test_text_of_models_and_tools_cannot_write_to_the_terminal(console):
    step = call(HOSTILE, ErrorKind.TOOL_ERROR, f"<think>{HOSTILE}</think>", q=HOSTILE)
    learned = Step(
        text=f"<experience>{HOSTILE}</experience>", phase=Phase.TRIAL, action=ActionKind.EXPERIENCE
    )
    one = OneTask(console, Budget(BudgetSettings()))
    one.begin(Task("t", HOSTILE, lambda: ToolSet(()), experience=HOSTILE))
    one.step(task(), step)
    one.step(task(), learned)
    one.end(trajectory(stop_reason=StopReason.ANSWERED, answer=HOSTILE))
    many = trajectory(HOSTILE, stop_reason=StopReason.POLICY_ERROR, error=HOSTILE)
    console.print(records_table({0: many}))
    tool = Tool(HOSTILE, HOSTILE, {}, print, source=HOSTILE)
    console.print(tools_table(ToolSet((tool,))))
    got = shown(console)
    assert not {"\x1b", "\r", "\x07", "\u202e"} & set(got)
    assert got.count("[red]x[/red]") >= 8


def test_long_texts_are_cut(console):
    got = view(console, call("a" * (SHOWN_CHARS + 5)), call("\n" * 50))
    assert got.count("a" * 40) < SHOWN_CHARS / 40
    assert " 5 more" in got.replace("[", " ")
    assert "39 more characters" in got


@pytest.mark.parametrize(
    ("end", "text"),
    [
        ({"stop_reason": StopReason.ANSWERED, "answer": "4.50"}, "answer  4.50"),
        ({"stop_reason": StopReason.BUDGET}, "no answer: budget"),
        (
            {"stop_reason": StopReason.POLICY_ERROR, "error": "no such model"},
            "no answer: policy_error: no such model",
        ),
    ],
)
def test_the_end(console, end, text):
    OneTask(console, Budget(BudgetSettings())).end(trajectory(**end))
    assert text in shown(console)


def test_spent():
    budget = Budget(BudgetSettings(max_calls=5, max_cost=2, prices=(1, 1)))
    budget.spend_call()
    budget.spend_tokens(1000, 200)
    assert spent_text(budget) == "1 of 5 calls, 1,200 tokens, 0 seconds, cost 0.0012 of 2"


def test_many_tasks(console):
    with bar("solve", 2, where=console) as running:
        many = ManyTasks(console, running, Budget(BudgetSettings()))
        many.begin(task())
        many.step(task(), call())
        many.end(trajectory(stop_reason=StopReason.ANSWERED, answer="4.50"))
        with many.paused():
            console.print("a question")
    got = shown(console)
    assert "answer  4.50" in got
    assert "1/2" in got


def test_tools(console):
    tools = [
        Tool("price", "", {}, print, Effect.READ, source="shop.py"),
        Tool("drop", "", {}, print, Effect.DESTRUCTIVE, trials=TrialMode.LIVE),
        *(Tool(f"t{i}", "", {}, print) for i in range(SHOWN_TOOLS)),
    ]
    console.print(tools_table(ToolSet(tuple(tools))))
    lines = shown(console).splitlines()
    assert "tools: 42" in lines[0]
    row = next(line for line in lines if "price" in line)
    assert [cell.strip() for cell in row.split("│")[1:4]] == ["shop.py", "price", "read"]
    assert "and 2 more" in shown(console)


@pytest.mark.parametrize(
    ("effect", "trials", "copied", "words"),
    [
        (Effect.READ, None, False, "runs"),
        (Effect.WRITE, None, False, "not run"),
        (Effect.UNKNOWN, None, False, "not run"),
        (Effect.DESTRUCTIVE, None, True, "on a copy"),
        (Effect.READ, TrialMode.READ_ONLY, True, "runs"),
        (Effect.DESTRUCTIVE, TrialMode.LIVE, True, "for real"),
    ],
)
def test_what_a_trial_does_with_a_tool(console, effect, trials, copied, words):
    tool = Tool("drop", "", {}, print, effect, trials=trials)
    console.print(tools_table(ToolSet((tool,), [], list if copied else None)))
    row = next(line for line in shown(console).splitlines() if "drop" in line)
    assert row.split("│")[4].strip() == words


def test_a_source_is_named_once(console):
    sources = ["a.py", "a.py", "b.py", "a.py"]
    tools = [Tool(f"t{i}", "", {}, print, source=source) for i, source in enumerate(sources)]
    console.print(tools_table(ToolSet(tuple(tools))))
    got = [line.split("│")[1].strip() for line in shown(console).splitlines() if "│" in line]
    assert got == ["a.py", "", "b.py", "a.py"]


def test_names_of_tools_are_not_broken_in_a_narrow_terminal():
    name = "find_customer_by_name_and_postal_code"
    tool = Tool(name, "", {"type": "object"}, len, "read", source="/a/rather/long/path/" * 4)
    console = Console(file=io.StringIO(), width=80)
    console.print(tools_table(ToolSet((tool,))))
    assert name in console.file.getvalue()
