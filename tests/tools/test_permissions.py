"""Approvers: what runs, what asks at a real terminal, what the rules say."""

import asyncio
import dataclasses
import io
import os
import pty
import sys
from contextlib import contextmanager

import pytest
from rich.console import Console

from toolmaster.errors import ConfigError, InputError
from toolmaster.progress import bar, tell
from toolmaster.tools import Tool, ToolSet
from toolmaster.tools.merging import merge
from toolmaster.tools.permissions import OCCASION, AllowAll, Ask, Occasion, read_rules
from toolmaster.types import Decision, Effect, Phase, ToolCall

CALL = ToolCall(name="burn", arguments={"title": "Emma"})
NOBODY = "nobody is there to permit it (the user may beforehand, with --yes or a file of rules)"


def tool(effect=Effect.DESTRUCTIVE, name="burn", source="shelf"):
    return Tool(name, "", {"type": "object"}, print, effect, source=source)


class Screen(io.StringIO):
    """Shows questions; each is answered in turn, as a user would who waits for it."""

    def __init__(self, keyboard, answers):
        super().__init__()
        self.keyboard, self.left = keyboard, list(answers)

    def write(self, text):
        if text.endswith(": ") and self.left:
            asyncio.get_running_loop().call_soon(self.type, self.left.pop(0))
        return super().write(text)

    def type(self, answer):
        os.write(self.keyboard, answer.encode())


@contextmanager
def terminal(*answers, **options):
    """An approver at a terminal where these answers are typed, and what it shows."""
    keyboard, line = pty.openpty()
    with os.fdopen(line, "r") as reader:
        screen = Screen(keyboard, answers)
        yield Ask(answers=reader, questions=screen, **options), screen
    os.close(keyboard)


def approve(approver, *tools):
    async def run():
        return [await approver.approve(each, CALL) for each in tools]

    return asyncio.run(asyncio.wait_for(run(), 20))


@pytest.mark.parametrize("effect", Effect)
def test_allow_all(effect):
    assert approve(AllowAll(), tool(effect)) == [None]
    assert AllowAll().decide(tool(effect)) == (Decision.ALLOW, "")


def test_reading_and_writing_are_not_asked_about():
    with terminal() as (ask, screen):
        assert approve(ask, tool(Effect.READ), tool(Effect.WRITE)) == [None, None]
        assert ask.decide(tool(Effect.WRITE))[0] is Decision.ALLOW
        assert screen.getvalue() == ""


@pytest.mark.parametrize("effect", [Effect.DESTRUCTIVE, Effect.UNKNOWN])
@pytest.mark.parametrize(
    ("typed", "allowed"),
    [("y\n", True), ("YES\n", True), ("n\n", False), ("\n", False), ("\x04", False)],
)
def test_one_question_one_answer(effect, typed, allowed):
    with terminal(typed) as (ask, screen):
        assert ask.decide(tool(effect)) == (Decision.ASK, "the user is asked first")
        [reason] = approve(ask, tool(effect))
        assert (reason is None) is allowed
        if not allowed:
            assert reason == "the user said no to this call of burn"
        assert f'\n{effect}: burn (shelf)\n  {{"title": "Emma"}}\n' in screen.getvalue()


def test_nobody_is_asked_where_standard_input_is_closed(monkeypatch):
    monkeypatch.setattr(sys, "stdin", None)
    assert Ask().decide(tool())[0] is Decision.ASK
    assert approve(Ask(), tool()) == [NOBODY]


def test_yes_is_for_once_and_always_for_this_tool():
    with terminal("y\n", "a\n", "n\n") as (ask, screen):
        other = tool(name="burn", source="another shelf")
        found = approve(ask, tool(), tool(), tool(), other)
        assert [reason is None for reason in found] == [True, True, True, False]
        assert screen.getvalue().count("Run it?") == 3
        assert [ask.decide(each)[0] for each in (tool(), other)] == [Decision.ALLOW, Decision.ASK]


@pytest.mark.parametrize(
    "change",
    [
        {"description": "Burn everything."},
        {"parameters": {"type": "object", "properties": {"all": {}}}},
        {"effect": Effect.UNKNOWN},
        {"source": "another shelf"},
        {"own_name": "burn_all"},
    ],
)
def test_always_holds_until_anything_about_the_tool_changes(change):
    with terminal("a\n", "n\n") as (ask, screen):
        changed = dataclasses.replace(tool(), **change)
        assert [reason is None for reason in approve(ask, tool(), tool(), changed)] == [
            True,
            True,
            False,
        ]
        assert screen.getvalue().count("Run it?") == 2


def test_always_may_hold_in_a_folder(tmp_path, monkeypatch):
    file = tmp_path / "state" / "approvals.jsonl"
    monkeypatch.chdir(tmp_path)
    with terminal("p\n", "a\n", approvals=file) as (ask, screen):
        assert approve(ask, tool(), tool(name="sell")) == [None, None]
        assert "[p] always burn in this folder" in screen.getvalue()
    assert file.stat().st_mode & 0o777 == 0o600
    changed = dataclasses.replace(tool(), description="Burn everything.")
    with terminal("n\n", "n\n", approvals=file) as (ask, _):  # another run
        found = approve(ask, tool(), changed, tool(name="sell"))
        assert [reason is None for reason in found] == [True, False, False]
    other = tmp_path / "other"
    other.mkdir()
    monkeypatch.chdir(other)
    with terminal("n\n", approvals=file) as (ask, _):
        assert approve(ask, tool()) != [None]
    file.write_text("{}\n")
    with pytest.raises(InputError, match=r"approvals\.jsonl, line 1"):
        Ask(approvals=file)


def test_without_a_file_no_folder_is_offered():
    with terminal("p\n", "n\n") as (ask, screen):
        assert approve(ask, tool()) != [None]
        assert "folder" not in screen.getvalue()
        assert "Please answer" in screen.getvalue()


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        ("no, because it is Emma's\n", ": because it is Emma's"),
        ("N: ask \x1b[2Jher\n", ": ask "),
        ("no\n", ""),
        ("n \n", ""),
    ],
)
def test_what_follows_a_no_is_told(typed, told):
    with terminal(typed) as (ask, _):
        [reason] = approve(ask, tool())
        assert reason.startswith(f"the user said no to this call of burn{told}")
        assert "\x1b" not in reason


def test_a_question_says_what_the_call_is_for():
    with terminal("n\n") as (ask, screen):
        reason = "It is " + "old " * 500
        before = OCCASION.set(Occasion("Tidy up\x1b[2J,\nplease", Phase.EXECUTION, reason))
        approve(ask, tool())
        OCCASION.reset(before)
        shown = screen.getvalue()
    assert "task: Tidy up\u241b[2J, please\nphase: execution\nreason: It is old" in shown
    assert shown.index("reason: ") < shown.index("destructive: burn") < shown.index("Run it?")
    assert "characters in all]" in shown
    assert len(shown) < 1500


def test_all_of_long_arguments_can_be_shown():
    call = ToolCall(name="burn", arguments={"x": "y" * 5000, "z": "the end"})
    with terminal("s\n", "y\n") as (ask, screen):
        assert asyncio.run(asyncio.wait_for(ask.approve(tool(), call), 20)) is None
        before, _, after = screen.getvalue().partition("[s] show all of it")
    assert "the end" not in before
    assert "the end" in after


def test_nothing_else_is_printed_while_a_question_stands(monkeypatch, capsys):
    """Neither by other tasks nor by tools: it comes after the answer."""
    out, err = sys.stdout, sys.stderr
    with terminal("y\n") as (ask, screen):
        type_ = screen.type

        def disturb(answer):
            print("to stdout")
            print("to stderr", file=sys.stderr)
            tell("of another task")
            assert capsys.readouterr() == ("", "")
            type_(answer)

        monkeypatch.setattr(screen, "type", disturb)
        assert approve(ask, tool()) == [None]
    assert (sys.stdout, sys.stderr) == (out, err)
    shown = capsys.readouterr()
    assert shown.out == "to stdout\n"
    assert shown.err.startswith("to stderr\nof another task")


def test_one_approver_asks_in_several_event_loops():
    async def run(ask):
        return await asyncio.gather(*(ask.approve(tool(), CALL) for _ in range(3)))

    with terminal(*["y\n"] * 6) as (ask, _):
        for _ in range(2):
            assert asyncio.run(asyncio.wait_for(run(ask), 20)) == [None] * 3


def test_an_answer_that_is_none_is_asked_for_again():
    with terminal("what?\n", "y\n") as (ask, screen):
        assert approve(ask, tool()) == [None]
        assert "Please answer y, a or n" in screen.getvalue()


def test_a_question_in_the_middle_of_a_live_display_is_shown_as_it_is(monkeypatch):
    """The display takes standard error over, and would read markup in it."""
    with terminal("y\n") as (ask, screen):
        monkeypatch.setattr(sys, "stderr", screen)
        display = Console(file=io.StringIO(), force_terminal=True)
        with bar("solve", 2, where=display) as running:
            assert sys.stderr is not screen
            asking = Ask(answers=ask._answers, pause=running.paused)
            call = ToolCall(name="burn", arguments={"title": "[red]Emma[/red]"})
            permitted = asking.approve(tool(), call)
            assert asyncio.run(asyncio.wait_for(permitted, 20)) is None
        assert '{"title": "[red]Emma[/red]"}' in screen.getvalue()
        assert "[y] once  [a] always burn  [n] no: " in screen.getvalue()


def test_what_was_typed_before_the_question_does_not_answer_it():
    with terminal("n\n") as (ask, screen):
        os.write(screen.keyboard, b"y\ny\n")
        assert approve(ask, tool()) != [None]


def test_one_question_at_a_time():
    async def run(ask):
        return await asyncio.gather(*(ask.approve(tool(name=f"t{i}"), CALL) for i in range(3)))

    with terminal("y\n", "n\n", "y\n") as (ask, screen):
        found = asyncio.run(asyncio.wait_for(run(ask), 20))
        assert [reason is None for reason in found] == [True, False, True]
        assert [part.split(" ")[0] for part in screen.getvalue().split("\ndestructive: ")[1:]] == [
            "t0",
            "t1",
            "t2",
        ]


def test_always_answers_those_who_wait_as_well():
    async def run(ask):
        return await asyncio.gather(*(ask.approve(tool(), CALL) for _ in range(5)))

    with terminal("a\n") as (ask, screen):
        assert asyncio.run(asyncio.wait_for(run(ask), 20)) == [None] * 5
        assert screen.getvalue().count("Run it?") == 1


def test_a_question_can_be_cancelled():
    async def run(ask):
        waiting = asyncio.create_task(ask.approve(tool(), CALL))
        while not ask._one_at_a_time.locked():
            await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        screen.left.append("y\n")
        return await ask.approve(tool(), CALL)

    with terminal() as (ask, screen):
        assert asyncio.run(asyncio.wait_for(run(ask), 20)) is None


def test_without_a_terminal_the_answer_is_no():
    ask = Ask(answers=io.StringIO("y\n"), questions=io.StringIO())
    assert ask.decide(tool()) == (Decision.ASK, NOBODY)
    assert approve(ask, tool(), tool(Effect.WRITE)) == [NOBODY, None]


def test_a_question_shows_no_control_characters_and_not_everything():
    call = ToolCall(name="burn", arguments={"x": "\x1b[2K\rread: harmless\n" + "y" * 5000})
    with terminal("n\n") as (ask, screen):
        asyncio.run(ask.approve(tool(source="\x1b[1m"), call))
        shown = screen.getvalue()
    assert "\x1b" not in shown
    assert "\r" not in shown
    assert "characters in all]" in shown
    assert len(shown) < 1000


def test_a_live_display_is_held_while_a_question_stands():
    held = []

    @contextmanager
    def pause():
        held.append("held")
        yield
        held.append("released")

    with terminal("y\n") as (ask, _):
        ask._pause = pause
        approve(ask, tool(), tool(Effect.READ))
    assert held == ["held", "released"]


def read(tmp_path, text):
    path = tmp_path / "rules.toml"
    path.write_text(text)
    return read_rules(path)


def rules(tmp_path, text):
    """An approver that follows these rules, where nobody is there to ask."""
    return Ask(read(tmp_path, text), answers=io.StringIO(), questions=io.StringIO())


def test_names_decide_before_effects_and_what_denies_before_what_allows(tmp_path):
    approver = rules(
        tmp_path,
        "[tools]\nallow = ['burn_*', 'get_*']\ndeny = ['*_all', 'get_secret']\n"
        "[effects]\ndestructive = 'deny'\nread = 'allow'\n",
    )
    tools = [
        tool(name="burn_one"),
        tool(name="burn_all"),
        tool(Effect.READ, "get_secret"),
        tool(name="sell"),
        tool(Effect.READ, "look"),
    ]
    assert approve(approver, *tools) == [
        None,
        "the rules deny '*_all'",
        "the rules deny 'get_secret'",
        "the rules deny tools of effect destructive",
        None,
    ]
    assert approver.decide(tools[0])[0] is Decision.ALLOW
    assert approver.decide(tools[1]) == (Decision.DENY, "the rules deny '*_all'")


def test_a_rule_also_knows_a_tool_by_its_own_name(tmp_path):
    parts = [(label, ToolSet((tool(Effect.WRITE, "send", ""),))) for label in "ab"]
    tools = merge([("whole", merge(parts)), ("c", ToolSet((tool(Effect.WRITE, "a_send"),)))])
    assert list(tools.names()) == ["whole_a_send", "b_send", "c_a_send"]
    approver = rules(tmp_path, "[tools]\ndeny = ['send']\n")
    denied = "the rules deny 'send'"
    assert approve(approver, *tools.tools) == [denied, denied, None]
    assert approve(rules(tmp_path, "[tools]\ndeny = ['b_*']\n"), tools["b_send"]) != [None]


def test_a_rule_may_name_the_source(tmp_path):
    files = tool(name="read", source="files (npx)")
    other = tool(name="read", source="other (uvx)")
    web = tool(name="read", source="http://localhost:8080")
    approver = rules(tmp_path, "[tools]\nallow = ['files:read', 'http://local*:re*']\n")
    assert [reason is None for reason in approve(approver, files, other, web)] == [
        True,
        False,
        True,
    ]
    denied = "the rules deny 'other*:*'"
    approver = rules(tmp_path, "[tools]\nallow = ['*']\ndeny = ['other*:*']\n")
    assert approve(approver, files, other, web) == [None, denied, None]
    read(tmp_path, "[tools]\nallow = ['files:read']\n").check(ToolSet((files,)))
    with pytest.raises(ConfigError, match="no tool is called 'files:read'"):
        read(tmp_path, "[tools]\nallow = ['files:read']\n").check(ToolSet((other,)))


@pytest.mark.parametrize("allow", ["files_read", "read", "files_*", "files:read", "files:*"])
def test_no_server_takes_a_name_that_a_rule_allows(tmp_path, allow):
    """The other server's tools have names that rules for `files` could mean."""
    files = ToolSet((tool(name="read", source="files (npx)"),))
    names = ("read", "files_read", "files_read_2")
    other = ToolSet(tuple(tool(name=name, source="other (npx)") for name in names))
    tools = merge([("files", files), ("other", other)])
    approver = rules(tmp_path, f"[tools]\nallow = [{allow!r}]\n")
    allowed = [t for t in tools.tools if approve(approver, t) == [None]]
    assert {t.source for t in allowed} <= {"files (npx)"}
    assert bool(allowed) == (allow != "read")


def test_a_name_without_a_tool_is_told(tmp_path):
    parts = [("a", ToolSet((tool(name="get_one"), tool(name="look"))))]
    parts.append(("b", ToolSet((tool(name="look"),))))
    misspelt = read(tmp_path, "[tools]\nallow = ['get_*', 'b_look']\ndeny = ['paymint']\n")
    with pytest.raises(ConfigError) as caught:
        misspelt.check(merge(parts))
    assert str(caught.value) == (
        "permissions: tools.deny: no tool is called 'paymint'; there are: get_one, a_look, b_look"
    )
    text = "[tools]\nallow = ['get_*', 'b_look']\nask = ['look', '*payment*']\n"
    read(tmp_path, text).check(merge(parts))


def test_empty_rules_are_as_careful_as_none(tmp_path):
    approver = rules(tmp_path, "")
    found = approve(approver, *(tool(effect) for effect in Effect))
    assert [reason is None for reason in found] == [True, True, False, False]


def test_rules_may_ask(tmp_path):
    with terminal("y\n", "n\n") as (ask, _):
        ask._rules = read(tmp_path, "[tools]\nask = ['look']\n")
        look = tool(Effect.READ, "look")
        assert ask.decide(look) == (Decision.ASK, "the user is asked first")
        assert [reason is None for reason in approve(ask, look, look)] == [True, False]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[tools", "not valid TOML"),
        ("[tool]\n", "unknown key 'tool' (did you mean 'tools'?)"),
        ("[tools]\nallow = 'get'\n", "tools.allow: Input should be a valid tuple"),
        ("[effects]\nread = 'maybe'\n", "effects.read: Input should be 'allow', 'ask' or 'deny'"),
        ("[effects]\nreads = 'ask'\n", "unknown key 'effects.reads' (did you mean 'read'?)"),
    ],
)
def test_rules_that_cannot_be_used(tmp_path, text, message):
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, text)
    assert message in str(caught.value)


def test_rules_that_are_not_there(tmp_path):
    with pytest.raises(ConfigError, match="cannot read"):
        read_rules(tmp_path / "none.toml")
