"""An agent with your own Python functions.

The documentation of `get_price` is wrong on purpose: it says dollars, the function answers cents.
The agent tries the documented example first and learns it; in a trial only `get_price` runs.

    python examples/agent_functions.py openai:NAME
"""

import sys

import toolmaster as tm

PRICES = {"Copper Kettle": 4600, "Wool Rug": 8990}
ORDERS: list[str] = []


@tm.tool(effect="read")
def get_price(item: str) -> int:
    """Price of an item in dollars. Example: "Copper Kettle" -> 46.

    Args:
        item: the item's name, such as "Copper Kettle".
    """
    return PRICES[item]


@tm.tool(effect="write")
def order(item: str) -> str:
    """Order one item."""
    ORDERS.append(item)
    return f"ordered: {item}"


agent = tm.Agent(sys.argv[1], tools=[get_price, order])
result = agent.run("What does one Wool Rug cost in dollars?")
print("answer:    ", result.answer)
print("experience:", result.experience or "none")
print("calls:     ", ", ".join(step.call.name for step in result.calls() if step.call) or "none")
