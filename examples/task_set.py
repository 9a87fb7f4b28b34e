"""Your own tasks: each has a factory of fresh tools, and an answer or a check of the end state.

    python examples/task_set.py

Commands and recipes name this task set `examples/task_set.py:tasks`.
"""

import copy

import toolmaster as tm


class Shop:
    """A small shop; its public methods are the tools."""

    def __init__(self) -> None:
        self.stock = {"Wool Rug": 4, "Oak Stool": 9}
        self.orders: list[tuple[str, int]] = []

    @tm.tool(effect="read")
    def count(self, item: str) -> int:
        """Number of pieces in stock."""
        return self.stock[item]

    @tm.tool(effect="write")
    def order(self, item: str, pieces: int) -> str:
        """Order pieces of an item."""
        self.stock[item] -= pieces
        self.orders.append((item, pieces))
        return "ordered"

    def snapshot(self) -> "Shop":
        """Return a copy that shares nothing with this shop; trials work on it."""
        return copy.deepcopy(self)


def ordered_two_stools(trajectory: tm.Trajectory, shop: Shop) -> bool:
    """Return whether the real shop has the order; trials work on copies."""
    return shop.orders == [("Oak Stool", 2)]


tasks = tm.Taskset(
    "shop",
    [
        tm.Task("stock", "How many Wool Rugs are left?", tools=Shop, answer="4"),
        tm.Task("order", "Order two Oak Stools.", tools=Shop, check=ordered_two_stools),
    ],
)

if __name__ == "__main__":
    turns = [
        "<think>Nothing is unfamiliar.</think><experience>none</experience>",
        '<think>Order.</think><tool_call>{"name": "order", "arguments": {"item": "Oak Stool",'
        ' "pieces": 2}}</tool_call>',
        "<think>It is done.</think><answer>done</answer>",
    ]
    trajectory = tm.rollout(tm.ScriptedPolicy(turns), tasks["order"])
    print(trajectory.task_id, "success:", trajectory.success)
