"""What the trial costs a strong model: its tokens against those of a plain loop, on four jobs.

    python benchmarks/agent_cost.py

Both sides play the same scripted, capable model on the same tools. The plain loop has no system
message and trusts the documentation. toolmaster runs `Agent`, first without lessons and then with
those of the first run. Tokens are those that the model reads and writes in all requests, one for
every four characters. `done` says whether the job was done; a loop that trusts a wrong document
does not do it.
"""

from __future__ import annotations

import asyncio
import copy
import json
import random
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from toolmaster.agent import Agent
from toolmaster.experience import Experience, ExperienceStore
from toolmaster.policies.base import RoomySampling
from toolmaster.policies.openai import OpenAIPolicy
from toolmaster.policies.replies import NativeCall, Reply
from toolmaster.tools import ToolSet, from_function, from_object
from toolmaster.tools.permissions import AllowAll
from toolmaster.world.spec import Specs
from toolmaster.world.views import draw_view

Turn = str | list[tuple[str, dict[str, Any]]]
"""A final text, or calls that are made in one message."""


def tokens(value: Any) -> int:
    """Return about how many tokens a JSON value has."""
    return len(json.dumps(value, ensure_ascii=False)) // 4


@dataclass
class Player:
    """An endpoint whose model plays given turns, and that counts what it reads and writes."""

    turns: Iterator[Turn]
    used: int = 0

    async def ask(self, messages: Any, tools: Any = (), **_: Any) -> Reply:
        """Return the next turn."""
        turn = next(self.turns)
        calls = [] if isinstance(turn, str) else turn
        native = [
            NativeCall(f"c{self.used}_{number}", name, json.dumps(arguments))
            for number, (name, arguments) in enumerate(calls)
        ]
        text = turn if isinstance(turn, str) else ""
        read, wrote = tokens([messages, tools]), tokens(turn)
        self.used += read + wrote
        return Reply(text, "", native, {}, "stop", False, "player", read, wrote)

    async def close(self) -> None:
        """Nothing is open."""


@dataclass
class Job:
    """A job, the tools for it, and what a capable model does in each way of working.

    Args:
        query: what is asked.
        tools: makes fresh tools.
        plain: the turns of a plain loop.
        first: those with a trial.
        known: those with the lessons of the first run.
        done: from the answer and the state to whether the job was done.
    """

    query: str
    tools: Callable[[], ToolSet]
    plain: list[Turn]
    first: list[Turn]
    known: list[Turn]
    done: Callable[[str, Any], bool]
    store: Path = field(default_factory=lambda: Path(tempfile.mkdtemp()) / "lessons.jsonl")


async def plain_loop(job: Job) -> tuple[int, bool]:
    """Run the plain loop; returns its tokens and whether the job was done."""
    tools, player = job.tools(), Player(iter(job.plain))
    messages: list[dict[str, Any]] = [{"role": "user", "content": job.query}]
    while True:
        reply = await player.ask(messages, tools.schemas())
        if not reply.calls:
            return player.used, job.done(reply.content, tools.state)
        made = [{"id": c.id, "type": "function", "function": {"name": c.name,
                 "arguments": c.arguments}} for c in reply.calls]  # fmt: skip
        messages.append({"role": "assistant", "content": None, "tool_calls": made})
        for call in reply.calls:
            result = tools[call.name].execute(tools.state, json.loads(call.arguments))
            text = result if isinstance(result, str) else json.dumps(result)
            messages.append({"role": "tool", "tool_call_id": call.id, "content": text})


async def with_agent(job: Job, turns: list[Turn]) -> tuple[int, bool]:
    """Run the agent with the lessons kept so far; returns its tokens and whether it was done."""
    tools, player = job.tools(), Player(iter(turns))
    policy = OpenAIPolicy("player", RoomySampling(), base_url="http://localhost:1/v1")
    policy.endpoint = player  # type: ignore[assignment]
    experience = Experience(ExperienceStore(job.store))
    agent = Agent(policy, tools, approver=AllowAll(), experience=experience)
    trajectory = await agent.arun(job.query)
    if trajectory.error:
        raise RuntimeError(f"{job.query}: {trajectory.error}: {trajectory.steps}")
    return player.used, job.done(trajectory.answer or "", tools.state)


def find_orders(customer: str) -> list[str]:
    """Find the orders of a customer."""
    return {"Ines": ["A-100", "A-101"], "Omar": ["A-102"]}[customer]


def order_total(order: str) -> int:
    """Total of an order in euros. Example: "A-100" -> 12.5."""
    return {"A-100": 1250, "A-101": 990, "A-102": 9998}[order]


def read_invoice(number: int) -> str:
    """Read the text of an invoice."""
    return f"Invoice {number}\nCustomer: Ines\n" + "Consulting\n" * 40 + f"Total: {number}.50"


class Todo:
    """A list of things to do, whose `clear` does not do what it says."""

    def __init__(self) -> None:
        self.items = {"call Ines": "open", "buy rye": "open", "pay rent": "done"}

    def show(self, status: str = "all") -> list[str]:
        """Show the items: all, open or done."""
        return [name for name, one in self.items.items() if status in ("all", one)]

    def clear(self, scope: str) -> int:
        """Delete items: all, open or done."""
        doomed = {"open": "done", "done": "open"}.get(scope, scope)
        gone = [name for name, one in self.items.items() if doomed in ("all", one)]
        for name in gone:
            del self.items[name]
        return len(gone)

    def finish(self, item: str) -> str:
        """Mark an item as done."""
        self.items[item] = "done"
        return "ok"


class Store:
    """Buckets, collections and records, of which a trial only reads."""

    def __init__(self) -> None:
        self.made: list[str] = []

    def list_buckets(self) -> list[str]:
        """List the buckets."""
        return [one for one in self.made if "/" not in one]

    def create_bucket(self, name: str) -> str:
        """Create a bucket."""
        return self._make(name)

    def create_collection(self, bucket: str, name: str) -> str:
        """Create a collection in a bucket."""
        return self._make(f"{bucket}/{name}")

    def create_record(self, bucket: str, collection: str, data: dict[str, str]) -> str:
        """Create a record in a collection."""
        return self._make(f"{bucket}/{collection}/{json.dumps(data)}")

    def _make(self, path: str) -> str:
        self.made.append(path)
        return json.dumps({"id": path, "created": True})


def _others(tools: ToolSet, count: int) -> ToolSet:
    """Return the tools with some of the embedded world's beside them."""
    rng, found = random.Random(0), []
    for service in Specs().services.values():
        for one in service.operations.values():
            view = draw_view(one, split="test", rng=rng, taken=set(), described=1)
            found.append(view.honest())
    unlike = {tool.name: tool for tool in found if tool.name not in tools}
    return replace(tools, tools=(*tools.tools, *list(unlike.values())[:count]))


def _warehouse() -> ToolSet:
    functions = (find_orders, order_total)
    return _others(ToolSet(tuple(from_function(f, effect="read") for f in functions)), 4)


def _invoices() -> ToolSet:
    return _others(ToolSet((from_function(read_invoice, effect="read"),)), 13)


def _todo() -> ToolSet:
    return _others(from_object(Todo(), effects={"show": "read"}), 4)


def _service() -> ToolSet:
    effects = dict.fromkeys(("create_bucket", "create_collection", "create_record"), "write")
    return _others(from_object(Store(), effects=effects, forkable=False), 32)


def _lessons(**lessons: str) -> tuple[str, dict[str, Any]]:
    return "begin_execution", {"lessons": lessons}


_WRITES = [
    ("create_bucket", {"name": "shop"}),
    ("create_collection", {"bucket": "shop", "name": "loaves"}),
    ("create_record", {"bucket": "shop", "collection": "loaves", "data": {"name": "rye"}}),
]
JOBS = {
    "price in cents": Job(
        "How many euros is order A-102?",
        _warehouse,
        [[("order_total", {"order": "A-102"})], "9998 euros"],
        [
            [("order_total", {"order": "A-100"}),
             _lessons(order_total="in cents, divide by 100"),
             ("order_total", {"order": "A-102"})],
            "99.98 euros",
        ],
        [[("order_total", {"order": "A-102"})], "99.98 euros"],
        lambda answer, _: "99.98" in answer,
    ),
    "two invoices": Job(
        "What is the sum of the invoices 2031 and 2032?",
        _invoices,
        [[("read_invoice", {"number": 2031}), ("read_invoice", {"number": 2032})], "4064.00"],
        [[("read_invoice", {"number": 2031}), ("read_invoice", {"number": 2032})], "4064.00"],
        [[("read_invoice", {"number": 2031}), ("read_invoice", {"number": 2032})], "4064.00"],
        lambda answer, _: "4064" in answer,
    ),
    "a to-do list": Job(
        "Delete what is done, and show what is left.",
        _todo,
        [[("clear", {"scope": "done"})], [("show", {})], "Left: pay rent"],
        [
            [("clear", {"scope": "done"}), ("show", {})],
            [_lessons(clear="open and done are exchanged: clear open to delete what is done"),
             ("clear", {"scope": "open"}), ("show", {})],
            "Left: call Ines, buy rye",
        ],
        [[_lessons(), ("clear", {"scope": "open"}), ("show", {})], "Left: call Ines, buy rye"],
        lambda _, state: set(state[0].items) == {"call Ines", "buy rye"},
    ),
    "three writes": Job(
        "Make the bucket shop with a collection loaves and a record of a rye loaf.",
        _service,
        [_WRITES, "Done."],
        [[_lessons(), *_WRITES], "Done."],
        [[_lessons(), *_WRITES], "Done."],
        lambda _, state: len(state[0].made) == 3,
    ),
}  # fmt: skip


async def main() -> None:
    """Run every job in the three ways and print the ratios."""
    table = Table("job", "plain loop", "done", "first", "ratio", "done", "known", "ratio", "done")
    for name, job in JOBS.items():
        plain, plain_done = await plain_loop(copy.copy(job))
        cells = [name, f"{plain:,}", "yes" if plain_done else "no"]
        for turns in (job.first, job.known):
            used, done = await with_agent(job, turns)
            cells += [f"{used:,}", f"{used / plain:.2f}", "yes" if done else "no"]
        table.add_row(*cells)
    Console(width=110).print(table)


if __name__ == "__main__":
    asyncio.run(main())
