"""An existing environment as a task set: stateful tools, and tasks with their own check.

    toolmaster evaluate openai:NAME examples/environment.py:tasks

`Bank` and `BANK_TASKS` stand for a package that does not know toolmaster. `tasks` connects the two.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

import toolmaster as tm


@dataclass
class Bank:
    """The environment: a state and tools that take it."""

    balance: float = 120.0
    sent: list[tuple[str, float]] = field(default_factory=list)


def get_balance(bank: Bank) -> float:
    """Balance of the account in euros."""
    return bank.balance


def send_money(bank: Bank, recipient: str, amount: float) -> str:
    """Send an amount in euros to a recipient."""
    bank.balance -= amount
    bank.sent.append((recipient, amount))
    return "sent"


BANK_TASKS = [
    ("balance", "What is my balance?", lambda bank, output: "120" in output),
    ("rent", "Send 80 euros to Ada.", lambda bank, output: bank.sent == [("Ada", 80.0)]),
]


def tasks() -> Iterator[tm.Task]:
    """Yield the tasks: tools bound to a fresh state, and the environment's own check."""

    def tools() -> tm.ToolSet:
        bank = Bank()
        return tm.ToolSet(
            (
                tm.Tool(
                    "get_balance",
                    "Balance of the account in euros.",
                    {"type": "object", "properties": {}},
                    lambda state, arguments: get_balance(state),
                    tm.Effect.READ,
                ),
                tm.Tool(
                    "send_money",
                    "Send an amount in euros to a recipient.",
                    {
                        "type": "object",
                        "properties": {
                            "recipient": {"type": "string"},
                            "amount": {"type": "number"},
                        },
                        "required": ["recipient", "amount"],
                    },
                    lambda state, arguments: send_money(state, **arguments),
                    tm.Effect.WRITE,
                ),
            ),
            bank,
            copy_state=lambda state: Bank(state.balance, list(state.sent)),
        )

    for name, query, utility in BANK_TASKS:

        def check(trajectory: tm.Trajectory, made: tm.ToolSet, utility=utility) -> bool:
            return bool(utility(made.state, trajectory.answer or ""))

        yield tm.Task(f"bank/{name}", query, tools=tools, check=check)
