"""Objects as tools: which methods, over which state, and that trials never reach the real one."""

import asyncio
import copy
import json
import random
import threading
from dataclasses import dataclass, field

import pytest

from toolmaster.errors import InputError
from toolmaster.limits import Limits
from toolmaster.protocols import Protocol
from toolmaster.session import Session
from toolmaster.tasksets import Task
from toolmaster.tools import from_object
from toolmaster.types import Effect, ErrorKind, Phase, TrialMode


@dataclass
class Ledger:
    """Money, shared by those who move it."""

    entries: list[tuple[str, float]] = field(default_factory=list)


class Account:
    """Has parts that change, nested, and one that it shares with others."""

    def __init__(self, ledger):
        self.ledger = ledger
        self.balance = {"euro": 10.0}
        self.notes = [["opened"]]
        self._random = random.Random(3)

    def get_balance(self, currency: str = "euro") -> float:
        """Balance in a currency."""
        return self.balance[currency]

    def pay_in(self, amount: float, currency: str = "euro") -> float:
        """Pay money in.

        Args:
            amount: how much
        """
        self.balance[currency] = self.balance.get(currency, 0.0) + amount
        self.ledger.entries.append((currency, amount))
        return self.balance[currency]

    def note(self, words: list[str]) -> list[list[str]]:
        self.notes.append(words)
        self.notes[0].append("again")
        return self.notes

    def draw(self) -> float:
        return self._random.random()

    async def close(self) -> str:
        await asyncio.sleep(0)
        self.balance.clear()
        return "closed"

    def snapshot(self):
        return copy.deepcopy(self)

    def _secret(self) -> str:
        return "secret"

    @property
    def trap(self) -> str:
        raise AssertionError("a property is no tool and is not touched")

    @staticmethod
    def helper() -> str:
        return "no method"


class Shop:
    """Is forked by its own snapshot, because of the lock."""

    def __init__(self, ledger, stock=None):
        self.ledger = ledger
        self.stock = {"rye": 3, "oat": 5} if stock is None else stock
        self.lock = threading.Lock()

    def buy(self, item: str, count: int = 1) -> int:
        with self.lock:
            self.stock[item] -= count
            self.ledger.entries.append((item, count))
        return self.stock[item]

    def snapshot(self):
        return Shop(copy.deepcopy(self.ledger), dict(self.stock))


EFFECTS = {"get_balance": Effect.READ, "close": Effect.DESTRUCTIVE}


def call(tools, name, **arguments):
    return tools[name].execute(tools.state, arguments)


def test_public_methods_become_tools():
    tools = from_object(Account(Ledger()), Shop(Ledger()), effects=EFFECTS)
    assert list(tools.names()) == [
        "get_balance",
        "pay_in",
        "note",
        "draw",
        "close",
        "helper",
        "buy",
    ]
    tool = tools["pay_in"]
    assert tool.description == "Pay money in."
    assert tool.parameters == {
        "type": "object",
        "properties": {
            "amount": {"type": "number", "description": "how much"},
            "currency": {"type": "string", "default": "euro"},
        },
        "required": ["amount"],
        "additionalProperties": False,
    }
    effects = [tools[name].effect for name in ("get_balance", "pay_in", "close")]
    assert effects == [Effect.READ, Effect.UNKNOWN, Effect.DESTRUCTIVE]


def test_calls_change_the_object_they_were_made_of():
    account = Account(Ledger())
    tools = from_object(account)
    assert call(tools, "pay_in", amount=5) == 15
    assert account.balance == {"euro": 15.0}
    assert asyncio.run(call(tools, "close")) == "closed"
    assert account.balance == {}


def test_a_fork_goes_its_own_way():
    ledger = Ledger()
    account = Account(ledger)
    tools = from_object(account)
    fork = tools.fork()
    assert call(fork, "draw") == call(tools, "draw")
    call(fork, "pay_in", amount=5)
    call(fork, "note", words=["x"])
    assert (account.balance, account.notes, ledger.entries) == ({"euro": 10.0}, [["opened"]], [])
    assert call(fork.fork(), "get_balance") == 15
    call(tools, "pay_in", amount=1)
    assert call(fork, "get_balance") == 15


def test_snapshot_is_no_tool():
    shop = Shop(Ledger())
    tools = from_object(shop)
    assert "snapshot" not in tools
    fork = tools.fork()
    assert call(fork, "buy", item="rye") == 2
    assert shop.stock["rye"] == 3
    assert type(fork.state[0]) is Shop


def test_overridden_inherited_and_hidden_methods():
    class Base:
        def one(self) -> int:
            return 1

        def two(self) -> int:
            return 1

        def hidden(self) -> int:
            return 1

    class Derived(Base):
        hidden = None

        def two(self, more: int = 0) -> int:
            """Two and more."""
            return 2 + more

    tools = from_object(Derived())
    assert list(tools.names()) == ["one", "two"]
    assert tools["two"].description == "Two and more."
    assert call(tools, "two", more=1) == 3


class Bare:
    def go(self, where) -> str:
        return where


class Plain:
    def go(self) -> None:
        pass


class Itself(Plain):
    def snapshot(self):
        return self


class Other(Itself):
    def snapshot(self):
        return {}


@pytest.mark.parametrize(
    ("objects", "effects", "message"),
    [
        ([Bare()], {}, "tool 'go': parameter 'where' needs a type hint"),
        ([Account(Ledger()), Account(Ledger())], {}, "two tools are called 'close'"),
        ([Shop(Ledger())], {"bye": Effect.READ}, "no such public method; did you mean 'buy'"),
        ([Shop(Ledger())], {"snapshot": Effect.READ}, r"no such public method; allowed: \['buy'\]"),
    ],
)
def test_what_cannot_be(objects, effects, message):
    with pytest.raises(InputError, match=message):
        from_object(*objects, effects=effects)


@pytest.mark.parametrize(
    ("instance", "message"),
    [
        (Itself(), r"Itself.snapshot\(\) returned itself; it is to return another Itself"),
        (Other(), r"Other.snapshot\(\) returned a dict; it is to return another Other"),
    ],
)
def test_a_snapshot_that_is_none(instance, message):
    with pytest.raises(InputError, match=message):
        from_object(instance).fork()


def test_trials_only_read_where_an_object_gives_no_snapshot():
    for tools in (
        from_object(Plain()),
        from_object(Plain(), Shop(Ledger())),
        from_object(Shop(Ledger()), forkable=False),
    ):
        assert {tools.trial_mode(name) for name in tools.names()} == {TrialMode.READ_ONLY}


def state_of(*objects):
    """Everything that can be told of the objects, as plain data."""
    parts = [
        value.getstate() if isinstance(value, random.Random) else value
        for instance in objects
        for name, value in sorted(vars(instance).items())
        if name != "lock"
    ]
    return copy.deepcopy(parts)


def random_call(chance):
    amount = chance.choice([1, -2.5, 10**9, "many", None])
    return chance.choice(
        [
            ("get_balance", {"currency": chance.choice(["euro", "yen", 3])}),
            ("pay_in", {"amount": amount, "currency": chance.choice(["euro", "yen"])}),
            ("note", {"words": chance.choice([[], ["a", "b"], [1]])}),
            ("draw", {}),
            ("close", {}),
            ("buy", {"item": chance.choice(["rye", "oat", "bun"]), "count": chance.randint(-3, 9)}),
            ("snapshot", {}),
            ("_secret", {}),
        ]
    )


@pytest.mark.parametrize("seed", range(4))
def test_a_thousand_random_trial_calls_change_nothing(seed):
    ledger = Ledger()
    account, shop = Account(ledger), Shop(ledger)
    before = state_of(account, shop, ledger)
    tools = from_object(account, shop, effects=EFFECTS)
    limits = Limits(max_turns=2000, trial_calls=1000, invalid_turns=1000)
    session = Session(Task("t", "?", lambda: tools), Protocol.TRIAL, limits)
    chance = random.Random(seed)

    async def turn(name, arguments):
        text = json.dumps({"name": name, "arguments": arguments})
        return await session.step(f"<think>t</think><tool_call>{text}</tool_call>")

    async def trial():
        return [await turn(*random_call(chance)) for _ in range(1000)]

    steps = asyncio.run(trial())
    assert {step.phase for step in steps} == {Phase.TRIAL}
    errors = [step.error for step in steps]
    assert errors.count(None) > 300
    assert {ErrorKind.TOOL_ERROR, ErrorKind.INVALID_ARGUMENTS, ErrorKind.UNKNOWN_TOOL} <= {*errors}
    assert state_of(account, shop, ledger) == before
    assert state_of(*session._fork.state) != state_of(account, shop)

    asyncio.run(session.step("<think>t</think><experience>none</experience>"))
    asyncio.run(turn("pay_in", {"amount": 1}))
    assert account.balance == {"euro": 11.0}
    assert ledger.entries == [("euro", 1.0)]
