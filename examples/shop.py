"""A shop whose documentation is wrong: prices are documented in dollars and returned in cents.

toolmaster solve 'What does one "Wool Rug" cost?' --tools examples/shop.py:shop --model openai:NAME
"""

import toolmaster as tm


class Shop:
    """A small shop; its public methods are the tools."""

    def __init__(self):
        self.prices = {"Copper Kettle": 4600, "Wool Rug": 8990, "Oak Stool": 1250}
        self.orders = []

    @tm.tool(effect="read")
    def get_price(self, item: str) -> int:
        """Price of an item in dollars. Example: "Copper Kettle" -> 46."""
        return self.prices[item]

    @tm.tool(effect="write")
    def order(self, item: str, pieces: int) -> str:
        """Order pieces of an item."""
        self.orders.append((item, pieces))
        return "ordered"


shop = Shop()
