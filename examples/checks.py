"""Checks of the tasks in `my_tasks.jsonl`: functions of a trajectory and the object afterwards.

toolmaster evaluate MODEL "examples/my_tasks.jsonl tools=examples/shop.py:Shop"
"""


def cheapest(trajectory, shop):
    """Return whether one piece of the cheapest item was ordered, and nothing else."""
    return shop.orders == [(min(shop.prices, key=shop.prices.get), 1)]
