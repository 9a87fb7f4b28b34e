"""GRPO on your own tools: a stateful class, two tasks, your own reward.

    python examples/train_own_tools.py MODEL FOLDER

MODEL should be a checkpoint that SFT has trained; FOLDER gets the result. Keyword arguments that
TRL knows are passed to TRL.
"""

import copy
import sys

import toolmaster as tm


class Shop:
    """A shop with prices and orders."""

    def __init__(self) -> None:
        self.orders: list[str] = []

    @tm.tool(effect="read")
    def price(self, item: str) -> int:
        """Price of an item in dollars."""
        return {"Wool Rug": 90, "Oak Stool": 35}[item]

    @tm.tool(effect="write")
    def order(self, item: str) -> str:
        """Order one item."""
        self.orders.append(item)
        return "ordered"

    def snapshot(self) -> "Shop":
        """Return a copy that shares nothing with this shop; trials work on it."""
        return copy.deepcopy(self)


tasks = tm.Taskset(
    "shop",
    [
        tm.Task("price", "What does a Wool Rug cost?", tools=Shop, answer="90"),
        tm.Task(
            "order",
            "Order one Oak Stool.",
            tools=Shop,
            check=lambda t, s: s.orders == ["Oak Stool"],
        ),
    ],
)


def reward(t: tm.Trajectory) -> float | None:
    """Return success plus a little for the right format minus a little for every call."""
    if t.error:
        return None
    value = t.score.value if t.score else 0.0
    return value + 0.1 * t.format_ok - 0.02 * min(len(t.calls()), 5)


folder = tm.grpo(
    sys.argv[1],
    tasks,
    reward=reward,
    output_dir=sys.argv[2],
    max_steps=2,
    num_generations=4,
    per_device_train_batch_size=4,
    gradient_accumulation_steps=2,
)
print("trained model:", folder)
