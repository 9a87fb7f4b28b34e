"""A bakery: what it sells, for how much, how many are left, and how the window is laid out."""

from __future__ import annotations

import random

from toolmaster.world.domain import Amount, Domain, Name, Plan, Position, State, Word, names, number

GRAINS = (
    "Rye", "Oat", "Spelt", "Barley", "Wheat", "Corn", "Plum", "Apple", "Cherry", "Almond",
    "Walnut", "Honey", "Cinnamon", "Lemon", "Poppy", "Sesame", "Butter", "Raisin", "Ginger", "Fig",
)  # fmt: skip
BAKES = (
    "Loaf", "Bun", "Tart", "Roll", "Cake", "Scone", "Muffin", "Pretzel", "Bagel", "Cookie",
    "Pie", "Strudel", "Crumble", "Rusk", "Waffle", "Twist", "Wafer", "Brioche", "Slice", "Danish",
)  # fmt: skip
COUNTERS = ("window", "till", "oven side", "street side", "back wall")

PRODUCT = Name(("product", "item", "article", "bake", "goods", "pastry"))
PIECES = Amount(("pieces", "count", "units", "stock", "number"))

domain = Domain("bakery", "seen", "products with prices, stock and counters; an ordered display")


@domain.state
def make_state(rng: random.Random) -> State:
    """Eight products, five of them on display."""
    products = names(rng, GRAINS, BAKES, 8)
    stocks = rng.sample(range(3, 99), 8)
    return {
        "products": {
            product: {
                "price": rng.randint(5, 1999) / 100,
                "stock": stocks.pop(),
                "counter": rng.choice(COUNTERS),
            }
            for product in products
        },
        "display": rng.sample(products, 5),
    }


@domain.read("price", "cost", "tag", "charge", doc="Price of a product in dollars",
             returns=Amount(), product=PRODUCT)  # fmt: skip
def price(state: State, product: str) -> float:
    """What a product costs, in dollars."""
    return number(state["products"][product]["price"])


@domain.read("stock", "supply", "inventory", "remaining", doc="Pieces of a product in stock",
             returns=Amount(), product=PRODUCT)  # fmt: skip
def stock(state: State, product: str) -> float:
    """How many pieces are left."""
    return number(state["products"][product]["stock"])


@domain.read("counter", "place", "spot", "stand", doc="Counter where a product is sold",
             returns=Word(), product=PRODUCT)  # fmt: skip
def counter(state: State, product: str) -> str:
    """Where a product is sold."""
    return str(state["products"][product]["counter"])


@domain.read("display", "window", "layout", "showcase", doc="Product at a place of the display",
             returns=Name(), place=Position(("place", "position", "rank", "slot")))  # fmt: skip
def displayed(state: State, place: int) -> str:
    """Which product stands at a place of the display, counted from 1."""
    return str(state["display"][place - 1])


@domain.write("stock", "supply", "inventory", "shelf", doc="Set the stock of a product",
              shown_by="stock", value="pieces", product=PRODUCT, pieces=PIECES)  # fmt: skip
def set_stock(state: State, product: str, pieces: float) -> None:
    """Set how many pieces are left."""
    state["products"][product]["stock"] = pieces


@domain.write("price", "cost", "tag", "charge", doc="Set the price of a product in dollars",
              shown_by="price", value="dollars", product=PRODUCT,
              dollars=Amount(("dollars", "amount", "price", "sum")))  # fmt: skip
def set_price(state: State, product: str, dollars: float) -> None:
    """Set what a product costs, in dollars."""
    state["products"][product]["price"] = dollars


@domain.goal
def ask_price(plan: Plan) -> None:
    """One read of a number."""
    [item] = plan.pick("products")
    plan.ask(
        f"What does one {item} cost in dollars?",
        f"How many dollars do I pay for one {item}?",
        f"Tell me the price of the {item} in dollars.",
        answer=plan.do("price", product=item),
    )


@domain.goal
def ask_counter(plan: Plan) -> None:
    """One read of a word."""
    [item] = plan.pick("products")
    plan.ask(
        f"At which counter is the {item} sold?",
        f"Where do I find the {item}?",
        answer=plan.do("counter", product=item),
    )


@domain.goal
def compare_stock(plan: Plan) -> None:
    """Two reads and a comparison."""
    one, two = plan.pick("products", 2)
    left, right = plan.do("stock", product=one), plan.do("stock", product=two)
    more = one if left >= right else two
    plan.ask(
        f"Of which do we have more, {one} or {two}?",
        f"Is there more {one} or more {two} in stock?",
        answer=more,
        because=f"{max(left, right)} is more than {min(left, right)}",
    )


@domain.goal
def price_on_display(plan: Plan) -> None:
    """A chain: the first result is the argument of the second call."""
    place = plan.rng.randint(2, 5)
    item = plan.do("displayed", place=place)
    plan.ask(
        f"What does the product at place {place} of the display cost in dollars?",
        f"Number {place} of our display: how many dollars is it?",
        answer=plan.do("price", product=item),
    )


@domain.goal
def on_display(plan: Plan) -> None:
    """One read by position."""
    place = plan.rng.randint(2, 5)
    plan.ask(
        f"Which product stands at place {place} of the display?",
        f"What is shown at place {place} of the display?",
        answer=plan.do("displayed", place=place),
    )


@domain.goal
def restock(plan: Plan) -> None:
    """One write."""
    [item] = plan.pick("products")
    pieces = plan.whole_number()
    plan.do("set_stock", product=item, pieces=pieces)
    plan.ask(
        f"Set the stock of {item} to {pieces} pieces.",
        f"We now have {pieces} pieces of {item}; record that.",
        answer="done",
    )


@domain.goal
def match_price(plan: Plan) -> None:
    """A read whose result is then written elsewhere."""
    source, target = plan.pick("products", 2)
    dollars = plan.do("price", product=source)
    plan.do("set_price", product=target, dollars=dollars)
    plan.ask(
        f"Make the {target} cost the same as the {source}.",
        f"Give the {target} the price of the {source}.",
        answer="done",
    )
