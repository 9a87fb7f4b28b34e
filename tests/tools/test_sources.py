"""Sources of any kind: what is recognised, what comes out, and errors for what cannot be used."""

import asyncio
import json
import sys
from pathlib import Path

import pytest
from notes_service import DOCUMENT
from turns import EXPERIENCE, call, play

from toolmaster.errors import ConfigError, InputError, ToolmasterError
from toolmaster.limits import Limits
from toolmaster.protocols import Protocol
from toolmaster.session import Session
from toolmaster.tasksets import Task
from toolmaster.tools import Tool, ToolSet
from toolmaster.tools.sources import open_sources, parse_source, untried_hint
from toolmaster.types import Effect, ErrorKind, TrialMode

TINY = str(Path(__file__).parent / "mcp" / "tiny_server.py")
MODULE = '''
from toolmaster.tools import ToolSet, from_function

EFFECTS = {"price": "read", "order": "destructive", "total": "read"}


def price(item: str) -> float:
    """Price of an item."""
    return 2.5


def order(item: str) -> str:
    """Order an item."""
    raise RuntimeError("ordered")


def helper(anything):
    return anything


def _hidden(item: str) -> str:
    """Not for anyone."""
    return item


class Basket:
    def __init__(self):
        self.items = []

    def put(self, item: str) -> int:
        """Put an item in."""
        self.items.append(item)
        return len(self.items)

    def total(self) -> int:
        """How many items."""
        return len(self.items)


basket = Basket()
tools = ToolSet((from_function(price),))
number = 3


class Needy:
    def __init__(self, what):
        self.what = what


def make_basket():
    made = Basket()
    made.put("apple")
    return made


def broken_factory():
    raise LookupError("no baskets")


def made_text():
    return "no object"
'''
STARTS_A_THREAD = """
import threading
started = threading.Thread(target=threading.Event().wait, daemon=True)
started.start()
"""


@pytest.fixture
def shop(tmp_path):
    path = tmp_path / "shop.py"
    path.write_text(MODULE)
    return path


@pytest.fixture
def mcp_file(tmp_path):
    path = tmp_path / "mcp.json"
    entry = {"command": sys.executable, "args": [TINY, "stdio"]}
    path.write_text(json.dumps({"mcpServers": {"tiny": entry}}))
    return path


def opened(*specs, use=None, **options):
    """What `use` makes of the tools; the tools as (name, effect, trials) without it."""

    async def run():
        async with open_sources([str(spec) for spec in specs], **options) as tools:
            if use is not None:
                return await use(tools)
            return [(t.name, t.effect.value, t.trials.value) for t in tools.tools]

    return asyncio.run(run())


def session(tools):
    return Session(Task("t", "q", lambda: tools), Protocol.TRIAL, Limits())


def refused(kind, *specs, **options):
    with pytest.raises(kind) as caught:
        opened(*specs, **options)
    return str(caught.value)


def test_functions_of_a_file(shop):
    assert opened(shop) == [
        ("price", "read", "fork"),
        ("order", "destructive", "fork"),
    ]


def test_one_function_class_object_or_tool_set(shop):
    assert opened(f"{shop}:price") == [("price", "read", "fork")]
    basket = [("put", "unknown", "fork"), ("total", "read", "fork")]
    assert opened(f"{shop}:Basket") == opened(f"{shop}:basket") == basket
    assert opened(f"{shop}:tools") == [("price", "unknown", "fork")]


def test_a_factory_makes_another_object_each_time(shop):
    async def totals(tools):
        fork, fresh = tools.fork(), tools.state[0].fresh()
        await fork["put"].execute(fork.state, {"item": "plum"})
        states = tools.state, fork.state, (fresh,)
        return [await tools["total"].execute(state, {}) for state in states]

    assert opened(f"{shop}:make_basket", use=totals) == [1, 2, 1]
    assert [name for name, *_ in opened(f"{shop}:make_basket")] == ["put", "total"]
    assert "it fails: LookupError: no baskets" in refused(InputError, f"{shop}:broken_factory")
    said = refused(InputError, f"{shop}:made_text")
    assert "is to make the tools' object; it returned 'no object'" in said
    assert "as in `def made_text() -> str:`" in said


def test_what_acts_on_a_service_is_live(shop, mcp_file, notes):
    async def live(tools):
        return tools.live

    assert not opened(f"{shop}:basket", use=live)
    assert opened(mcp_file, use=live)
    assert opened(notes.url, use=live)
    assert opened(shop, mcp_file, use=live)


def test_a_file_named_twice_is_run_once(shop):
    shop.write_text(MODULE + "\n\ndef peek() -> int:\n    return basket.total()\n")

    async def use(tools):
        await tools["put"].execute(tools.state, {"item": "plum"})
        return await tools["peek"].execute(tools.state, {})

    both = (f"{shop}:basket", f"{shop}:peek")
    assert [opened(*both, use=use), opened(*both, use=use)] == [1, 1]
    shop.write_text(shop.read_text().replace("basket.total()", "basket.total() + 10"))
    assert opened(*both, use=use) == 11


def test_a_module_by_its_dotted_name(tmp_path, monkeypatch):
    package = tmp_path / "shop_package"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "goods.py").write_text('def f(x: int) -> int:\n    "F."\n    return x\n')
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))

    async def use(tools):
        assert tools["f"].source == "shop_package.goods"
        return await tools["f"].execute(tools.state, {"x": 3})

    assert opened("shop_package.goods", use=use) == 3


def test_all_kinds_in_one_session(shop, mcp_file, notes):
    async def use(tools):
        turns = [
            call("price", item="plum"),
            call("put", item="plum"),
            call("put", item="rye"),
            call("add", a=2, b=3),
            call("unannotated"),
            call("list_notes"),
            call("put_note", name="x", body={"text": "y"}),
        ]
        a_session = session(tools)
        tried = await play(a_session, *turns[:6])
        [write] = await play(session(tools), turns[6])
        real = await play(a_session, EXPERIENCE, turns[1], turns[6])
        return tried, write, real[1:], {tool.name: tool.source for tool in tools.tools}

    tried, write, real, sources = opened(shop, f"{shop}:Basket", mcp_file, notes.url, use=use)
    assert [step.observation for step in tried[:4]] == ["2.5", "1", "2", "5"]
    assert tried[4].error is ErrorKind.NOT_EXECUTED
    assert tried[5].observation == '["plum", "rye"]'
    assert write.error is ErrorKind.NOT_EXECUTED
    assert [step.error for step in real] == [None, None]
    assert (real[0].observation, notes.state["x"]) == ("1", "y")  # the real basket was empty
    assert sources["price"] == str(shop)
    assert sources["put"] == f"{shop}:Basket"
    assert sources["list_notes"] == notes.url
    assert sources["add"].startswith("tiny (")


def test_an_openapi_file_with_options(tmp_path, notes, monkeypatch):
    document = tmp_path / "my api.json"
    document.write_text(json.dumps(DOCUMENT))
    monkeypatch.setenv("NOTES_KEY", "hush")
    spec = f"{document} base_url={notes.url} auth.header.X-Key=NOTES_KEY only=get_*,delete_note"
    assert opened(f"{spec} trials=live timeout_s=5") == [
        ("get_note", "read", "live"),
        ("delete_note", "destructive", "live"),
    ]
    options = parse_source(f"{document} auth.header.X-Key=A auth.my.scheme=B").options
    assert options.auth == {"header X-Key": "A", "my.scheme": "B"}


def test_tools_that_are_known_to_read(shop, mcp_file):
    assert ("put", "read", "fork") in opened(f"{shop}:Basket read=p*")
    [_, second] = opened(f"{mcp_file} only=add,unannotated read=unannotated")
    assert second == ("unannotated", "read", "read_only")


def test_how_trials_are_run_is_the_sources_own_or_the_common(shop):
    specs = [f"{shop} trials=live only=price", f"{shop}:Basket"]
    assert [row[2] for row in opened(*specs)] == ["live", "fork", "fork"]
    rows = opened(*specs, trials=TrialMode.READ_ONLY)
    assert [row[2] for row in rows] == ["live", "read_only", "read_only"]


def test_names_that_two_sources_share(shop, tmp_path):
    other = tmp_path / "other.py"
    other.write_text(MODULE)
    names = [row[0] for row in opened(f"{shop} only=price", other)]
    assert names == ["shop_price", "other_price", "order"]


def test_a_module_that_cannot_be_forked_may_still_be_tried_by_reading(tmp_path):
    path = tmp_path / "busy.py"
    path.write_text(
        f"{STARTS_A_THREAD}\n"
        "class Box:\n"
        "    def __init__(self): self.lock = threading.Lock()\n"
        "    def get(self) -> int:\n        return 3\n"
    )

    async def obstacle(tools):
        return tools["get"].obstacle

    assert opened(f"{path}:Box") == [("get", "unknown", "read_only")]
    assert "it has started threads" in opened(f"{path}:Box", use=obstacle)
    path.write_text(path.read_text().replace("started.start()", ""))
    assert opened(f"{path}:Box") == [("get", "unknown", "fork")]
    for written in ("read_only", "read-only"):
        assert opened(f"{path}:Box trials={written}") == [("get", "unknown", "read_only")]


@pytest.mark.parametrize(
    "spec", ["", "./tools.txt", "a b c", "ftp://host/x", "-", "x.py:not a name", "tools/", "a..b"]
)
def test_what_cannot_be_recognised_says_what_is_allowed(spec):
    message = refused(ConfigError, spec)
    assert repr(spec) in message
    for allowed in ("tools.py", "package.module", "mcp.json", "api.json", "https://"):
        assert allowed in message


def test_no_source():
    assert "no tools: name at least one source; allowed are" in refused(ConfigError)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("x = 1\n", "no tools: it defines no public function with a docstring"),
        ("import nothing_of_this_name\n", "fails on import at line 1: ModuleNotFoundError: No mod"),
        ("\ndef f(:\n", "fails on import: SyntaxError"),
        ("import sys\nsys.exit('no')\n", "fails on import at line 2: SystemExit: no"),
        ("def f(x):\n    'F.'\n", "tool 'f': parameter 'x' needs a type hint"),
        ("EFFECTS = 3\n", "EFFECTS is to be a dict"),
        ("EFFECTS = {'f': 'reads'}\ndef f(): 'F.'\n", "EFFECTS['f'] is 'reads'; allowed: read,"),
        ("EFFECTS = {'g': 'read'}\ndef f(): 'F.'\n", "EFFECTS names 'g', which is not there"),
    ],
)
def test_broken_python_files(tmp_path, content, message):
    path = tmp_path / "broken.py"
    path.write_text(content)
    assert message in refused(InputError, path)


def test_python_that_is_not_there(shop):
    assert "no such file" in refused(InputError, "/nowhere/tools.py")
    assert "there is no module 'nowhere_at_all' here" in refused(InputError, "nowhere_at_all.x")
    assert "did you mean 'basket'?" in refused(InputError, f"{shop}:baskit")
    assert "cannot be made without arguments" in refused(InputError, f"{shop}:Needy")
    assert "int has no public method" in refused(InputError, f"{shop}:number")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"mcpServers": ', "not valid JSON"),
        ("[]", "neither an mcpServers file nor an OpenAPI document"),
        ('{"servers": {}}', "neither an mcpServers file nor an OpenAPI document"),
        ('{"mcpServers": {}}', "'mcpServers' names no server"),
        ('{"openapi": "3.0.3", "info": {"title": "t", "version": "1"}, "paths": {}}', "no operat"),
    ],
)
def test_broken_json_files(tmp_path, content, message):
    path = tmp_path / "file.json"
    path.write_text(content)
    assert message in refused(InputError, path)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            "trials=fork",
            "needs a process that can be forked, which only Python sources have (it has",
        ),
        ("trials=maybe", "trials: Input should be 'fork', 'read_only' or 'live', got 'maybe'"),
        ("only=nothing*", "no tool is called 'nothing*'; it has: price, order"),
        ("onyl=price", "unknown key 'onyl' (did you mean 'only'?)"),
        ("timeout_s=0", "timeout_s: Input should be greater than 0"),
        ("base_url=http://x", "base_url and auth are for OpenAPI, this is python"),
    ],
)
def test_options_that_cannot_be_used(shop, options, message):
    shop.write_text(f"{MODULE}\n\n{STARTS_A_THREAD}")
    refusal = refused(ToolmasterError, f"{shop} {options}")
    assert message in refusal
    assert str(shop) in refusal


def test_a_source_given_twice(shop):
    assert "given twice" in refused(ConfigError, shop, shop)


def test_nothing_is_left_running_when_a_later_source_fails(shop, mcp_file):
    assert "no such file" in refused(InputError, mcp_file, shop.with_name("none.py"))


@pytest.mark.parametrize(
    ("names", "guess"),
    [
        (("get_price", "get_name", "list-orders", "order"), "get_*,list-*"),
        (("getPet", "findPets", "getaway"), "get*,find*"),
        (("order", "readiness"), "NAME,NAME"),
    ],
)
def test_what_a_name_promises_is_offered_to_confirm_and_never_assumed(names, guess):
    tools = ToolSet(tuple(Tool(name, "", {"type": "object"}, print) for name in names))
    assert untried_hint(tools).endswith(f'--tools "SOURCE read={guess}"')
    assert {tool.effect for tool in tools.tools} == {Effect.UNKNOWN}


def test_where_a_trial_can_run_something_there_is_no_hint():
    reads = Tool("look", "", {"type": "object"}, print, Effect.READ)
    assert untried_hint(ToolSet((reads, Tool("get_it", "", {"type": "object"}, print)))) is None
    forked = ToolSet((Tool("get_it", "", {"type": "object"}, print),), [], list)
    assert untried_hint(forked) is None


MIXED = '''
import functools


def good(x: int) -> int:
    """A tool."""
    return x


@functools.cache
def rate(currency: str) -> float:
    """Exchange rate."""
    return 1.5


def helper(**options):
    """Public, and no tool."""
    return options


class Shop:
    EFFECTS = {"price": "read", "sell": "write"}

    def price(self, item: str) -> int:
        """Price."""
        return 4

    @staticmethod
    def currency() -> str:
        """Currency."""
        return "euro"

    @classmethod
    def name(cls) -> str:
        """Name of the shop."""
        return cls.__name__

    def sell(self, item: str) -> str:
        """Sell."""
        return "sold"

    def raw(self, x):
        """No hint."""
        return x
'''


def test_what_cannot_be_a_tool_is_left_out_and_named(tmp_path, caplog):
    file = tmp_path / "mixed.py"
    file.write_text(MIXED)

    async def opened(source):
        async with open_sources([source]) as tools:
            return {tool.name: tool.effect.value for tool in tools.tools}

    assert set(asyncio.run(opened(str(file)))) == {"good", "rate"}
    assert "left out 1 of 3: helper: parameter 'options' cannot be passed by name" in caplog.text
    assert set(asyncio.run(opened(f"{file} only=good"))) == {"good"}
    assert set(asyncio.run(opened(f"{file}:rate"))) == {"rate"}
    unknown = dict.fromkeys(("currency", "name"), "unknown")
    assert asyncio.run(opened(f"{file}:Shop")) == {"price": "read", **unknown, "sell": "write"}
    assert "raw: parameter 'x' needs a type hint" in caplog.text
    with pytest.raises(InputError, match="'helper': parameter 'options' cannot be passed by name"):
        asyncio.run(opened(f"{file}:helper"))
