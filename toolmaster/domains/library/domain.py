"""A library: its books, how many copies there are, late fees, sections, sequels, and a cart."""

from __future__ import annotations

import random

from toolmaster.world.domain import Amount, Domain, Name, Plan, Position, State, Word, names, number

MOODS = (
    "Silver", "Lost", "Hidden", "Midnight", "Golden", "Crooked", "Secret", "Paper", "Velvet",
    "Winter", "Forgotten", "Glass", "Broken", "Whispering", "Emerald", "Restless", "Borrowed",
    "Final", "Quiet", "Painted",
)  # fmt: skip
THEMES = (
    "Garden", "Letter", "Crown", "Bridge", "Promise", "Journey", "Mirror", "Riddle", "Kingdom",
    "Lantern", "Voyage", "Tower", "Diary", "Shadow", "Harvest", "Portrait", "Island", "Oath",
    "Legend", "Orchard",
)  # fmt: skip
SECTIONS = ("history", "poetry", "travel", "science", "cooking", "children")

BOOK = Name(("book", "title", "work", "novel", "publication", "edition"))
PLACE = Position(("place", "position", "rank", "slot", "spot"))

domain = Domain("library", "seen", "books with copies, late fees, sections and sequels; a cart")


@domain.state
def make_state(rng: random.Random) -> State:
    """Eight books, each the sequel of another; five of them on the cart of returns."""
    books = names(rng, MOODS, THEMES, 8)
    copies = rng.sample(range(3, 99), 8)
    fees = rng.sample(range(5, 500), 8)
    return {
        "books": {
            book: {
                "copies": copies[i],
                "fee": fees[i] / 100,
                "section": rng.choice(SECTIONS),
                "sequel": books[i - 1],
            }
            for i, book in enumerate(books)
        },
        "cart": rng.sample(books, 5),
    }


@domain.read("copies", "volumes", "holdings", "prints", doc="Copies of a book that we own",
             returns=Amount(), book=BOOK)  # fmt: skip
def copies(state: State, book: str) -> float:
    """How many copies there are."""
    return number(state["books"][book]["copies"])


@domain.read("fee", "fine", "penalty", "dues", doc="Late fee of a book in dollars per day",
             returns=Amount(), book=BOOK)  # fmt: skip
def fee(state: State, book: str) -> float:
    """What a day of delay costs, in dollars."""
    return number(state["books"][book]["fee"])


@domain.read("section", "genre", "aisle", "category", doc="Section where a book stands",
             returns=Word(), book=BOOK)  # fmt: skip
def section(state: State, book: str) -> str:
    """Where a book stands."""
    return str(state["books"][book]["section"])


@domain.read("sequel", "successor", "continuation", "next", doc="Book that is the sequel of a book",
             returns=Name(), book=BOOK)  # fmt: skip
def sequel(state: State, book: str) -> str:
    """Which book continues this one."""
    return str(state["books"][book]["sequel"])


@domain.read("cart", "trolley", "returns", "pile", doc="Book at a place of the cart of returns",
             returns=Name(), place=PLACE)  # fmt: skip
def on_cart(state: State, place: int) -> str:
    """Which book lies at a place of the cart, counted from 1."""
    return str(state["cart"][place - 1])


@domain.write("acquisition", "purchase", "delivery", "restock", doc="Set how many copies we own",
              shown_by="copies", value="owned", book=BOOK,
              owned=Amount(("owned", "copies", "count", "number", "amount")))  # fmt: skip
def set_copies(state: State, book: str, owned: float) -> None:
    """Set how many copies there are."""
    state["books"][book]["copies"] = owned


@domain.write("pricing", "surcharge", "levy", "fees", doc="Set the late fee in dollars per day",
              shown_by="fee", value="dollars", book=BOOK,
              dollars=Amount(("dollars", "fee", "sum", "charge", "fine")))  # fmt: skip
def set_fee(state: State, book: str, dollars: float) -> None:
    """Set what a day of delay costs, in dollars."""
    state["books"][book]["fee"] = dollars


@domain.goal
def ask_copies(plan: Plan) -> None:
    """One read of a number."""
    [book] = plan.pick("books")
    plan.ask(
        f"How many copies of {book} does the library own?",
        f"A reader wants to know how many copies of {book} we have.",
        f"Count of copies for the book {book}, please.",
        answer=plan.do("copies", book=book),
    )


@domain.goal
def ask_section(plan: Plan) -> None:
    """One read of a word."""
    [book] = plan.pick("books")
    plan.ask(
        f"In which section does {book} stand?",
        f"I am looking for {book}. Which section should I go to?",
        answer=plan.do("section", book=book),
    )


@domain.goal
def returned(plan: Plan) -> None:
    """One read by position."""
    place = plan.rng.randint(2, 5)
    plan.ask(
        f"Which book lies at place {place} of the cart of returns?",
        f"Name the book at place {place} of the returns cart.",
        answer=plan.do("on_cart", place=place),
    )


@domain.goal
def compare_fees(plan: Plan) -> None:
    """Two reads of decimals and a comparison."""
    one, two = plan.pick("books", 2)
    left, right = plan.do("fee", book=one), plan.do("fee", book=two)
    plan.ask(
        f"Which book has the lower late fee, {one} or {two}?",
        f"I will be late with {one} and {two}. Which of the two costs less per day?",
        answer=one if left < right else two,
        because=f"{min(left, right)} is less than {max(left, right)}",
    )


@domain.goal
def section_of_sequel(plan: Plan) -> None:
    """A chain from a book to another one to a word."""
    [book] = plan.pick("books")
    after = plan.do("sequel", book=book)
    plan.ask(
        f"I have finished {book}. In which section is its sequel?",
        f"Which section holds the sequel of {book}?",
        answer=plan.do("section", book=after),
    )


@domain.goal
def copies_of_sequel_on_cart(plan: Plan) -> None:
    """A chain of three."""
    place = plan.rng.randint(2, 5)
    after = plan.do("sequel", book=plan.do("on_cart", place=place))
    plan.ask(
        f"How many copies do we own of the sequel of the book at place {place} of the cart?",
        f"Take the book at place {place} of the returns cart: how many copies of its sequel exist?",
        answer=plan.do("copies", book=after),
    )


@domain.goal
def buy_copies(plan: Plan) -> None:
    """One write."""
    [book] = plan.pick("books")
    owned = plan.whole_number()
    plan.do("set_copies", book=book, owned=owned)
    plan.ask(
        f"The library now owns {owned} copies of {book}; please update that.",
        f"Set the number of copies of {book} to {owned}.",
        answer="done",
    )


@domain.goal
def same_fee(plan: Plan) -> None:
    """A read whose result is then written elsewhere."""
    source, target = plan.pick("books", 2)
    plan.do("set_fee", book=target, dollars=plan.do("fee", book=source))
    plan.ask(
        f"Charge the same late fee for {target} as for {source}.",
        f"The late fee of {target} should become equal to that of {source}.",
        answer="done",
    )
