"""A hotel: its suites, what a night costs, towels, status, door numbers, and the cleaning round."""

from __future__ import annotations

import random

from toolmaster.world.domain import Amount, Domain, Name, Plan, Position, State, Word, names, number

VIEWS = (
    "Ocean", "Alpine", "Sunrise", "Mountain", "Forest", "Park", "Desert", "Lake", "Imperial",
    "Bamboo", "Marble", "Lotus", "Cedar", "Maple", "Tulip", "Orchid", "Crystal", "Panorama",
    "Oriental", "Balcony",
)  # fmt: skip
ROOMS = (
    "Suite", "Room", "Chamber", "Apartment", "Penthouse", "Loft", "Parlor", "Villa", "Cabin",
    "Bungalow", "Retreat", "Den", "Quarters", "Cottage", "Salon", "Nook", "Alcove", "Attic",
    "Residence", "Duplex",
)  # fmt: skip
STATUSES = ("clean", "dirty", "occupied", "closed", "reserved")

SUITE = Name(("suite", "room", "lodging", "accommodation", "name", "where"))
DOOR = Position(("door", "number", "doorplate", "digit", "corridor"))
PLACE = Position(("place", "position", "rank", "order", "stop"))

domain = Domain("hotel", "seen", "suites with rates, towels, statuses and doors; a cleaning round")


@domain.state
def make_state(rng: random.Random) -> State:
    """Eight suites behind doors 1 to 8, five of them on the cleaning round."""
    suites = names(rng, VIEWS, ROOMS, 8)
    towels = rng.sample(range(3, 99), 8)
    doors = rng.sample(range(1, 9), 8)
    return {
        "suites": {
            suite: {
                "rate": rng.randint(3900, 49999) / 100,
                "towels": towels.pop(),
                "status": rng.choice(STATUSES),
                "door": doors.pop(),
            }
            for suite in suites
        },
        "cleaning": rng.sample(suites, 5),
    }


@domain.read("rate", "nightly", "tariff", "price", doc="Rate of a suite in dollars per night",
             returns=Amount(), suite=SUITE)  # fmt: skip
def rate(state: State, suite: str) -> float:
    """What a night costs, in dollars."""
    return number(state["suites"][suite]["rate"])


@domain.read("towels", "linen", "laundry", "bathroom", doc="Number of towels in a suite",
             returns=Amount(), suite=SUITE)  # fmt: skip
def towels(state: State, suite: str) -> float:
    """How many towels are in a suite."""
    return number(state["suites"][suite]["towels"])


@domain.read("status", "condition", "situation", "readiness", doc="Status of a suite",
             returns=Word(), suite=SUITE)  # fmt: skip
def status(state: State, suite: str) -> str:
    """Whether a suite is clean, occupied and so on."""
    return str(state["suites"][suite]["status"])


@domain.read("door", "corridor", "doorplate", "hallway", doc="Suite behind the door of a number",
             returns=Name(), door=DOOR)  # fmt: skip
def behind(state: State, door: int) -> str:
    """Which suite has a door number, counted from 1."""
    suites = state["suites"]
    return str(sorted(suites, key=lambda name: int(suites[name]["door"]))[door - 1])


@domain.read("cleaning", "maid", "chores", "service", doc="Suite at a place of the cleaning round",
             returns=Name(), place=PLACE)  # fmt: skip
def cleaned(state: State, place: int) -> str:
    """Which suite is cleaned at a place of the round, counted from 1."""
    return str(state["cleaning"][place - 1])


@domain.write("pricing", "rates", "quote", "invoice", doc="Set the rate of a suite in dollars per night",
              shown_by="rate", value="dollars", suite=SUITE,
              dollars=Amount(("dollars", "rate", "amount", "price", "sum")))  # fmt: skip
def set_rate(state: State, suite: str, dollars: float) -> None:
    """Set what a night costs, in dollars."""
    state["suites"][suite]["rate"] = dollars


@domain.write("housekeeping", "amenities", "washing", "delivery", doc="Set the number of towels in a suite",
              shown_by="towels", value="pieces", suite=SUITE,
              pieces=Amount(("towels", "pieces", "count", "units", "stock")))  # fmt: skip
def set_towels(state: State, suite: str, pieces: float) -> None:
    """Set how many towels are in a suite."""
    state["suites"][suite]["towels"] = pieces


@domain.write("reservation", "occupancy", "checkin", "marking", doc="Set the status of a suite",
              shown_by="status", value="condition", suite=SUITE,
              condition=Word(("status", "condition", "situation", "state", "mark")))  # fmt: skip
def set_status(state: State, suite: str, condition: str) -> None:
    """Set whether a suite is clean, occupied and so on."""
    state["suites"][suite]["status"] = condition


@domain.goal
def ask_rate(plan: Plan) -> None:
    """One read of a number."""
    [suite] = plan.pick("suites")
    plan.ask(
        f"What does a night in the {suite} cost in dollars?",
        f"How many dollars per night do you charge for the {suite}?",
        answer=plan.do("rate", suite=suite),
    )


@domain.goal
def ask_status(plan: Plan) -> None:
    """One read of a word."""
    [suite] = plan.pick("suites")
    plan.ask(
        f"What is the status of the {suite}?",
        f"Guests want to move into the {suite}. What status does it have?",
        answer=plan.do("status", suite=suite),
    )


@domain.goal
def on_round(plan: Plan) -> None:
    """One read by position."""
    place = plan.rng.randint(2, 5)
    plan.ask(
        f"Which suite is at place {place} of the cleaning round?",
        f"Which suite does the maid clean at place {place} of her round?",
        answer=plan.do("cleaned", place=place),
    )


@domain.goal
def rate_behind_door(plan: Plan) -> None:
    """A chain from a door number to a number."""
    door = plan.rng.randint(2, 5)
    suite = plan.do("behind", door=door)
    plan.ask(
        f"What does the suite behind door {door} cost per night in dollars?",
        f"A guest asks for the suite behind door {door}. How many dollars is a night?",
        answer=plan.do("rate", suite=suite),
    )


@domain.goal
def compare_towels(plan: Plan) -> None:
    """Two reads and a comparison."""
    one, two = plan.pick("suites", 2)
    left, right = plan.do("towels", suite=one), plan.do("towels", suite=two)
    plan.ask(
        f"Which has more towels, the {one} or the {two}?",
        f"Compare the towels in the {one} and the {two}: where are more of them?",
        answer=one if left > right else two,
        because=f"{max(left, right)} is more than {min(left, right)}",
    )


@domain.goal
def bring_towels(plan: Plan) -> None:
    """One write."""
    [suite] = plan.pick("suites")
    pieces = plan.whole_number()
    plan.do("set_towels", suite=suite, pieces=pieces)
    plan.ask(
        f"There are now {pieces} towels in the {suite}; update the list.",
        f"Set the towels of the {suite} to {pieces}.",
        answer="done",
    )


@domain.goal
def mark_door(plan: Plan) -> None:
    """A chain from a door number that ends in a write of a word."""
    door = plan.rng.randint(2, 5)
    suite = plan.do("behind", door=door)
    now = plan.state["suites"][suite]["status"]
    condition = plan.rng.choice([word for word in STATUSES if word != now])
    plan.do("set_status", suite=suite, condition=condition)
    plan.ask(
        f"The suite behind door {door} is {condition} now; change its status.",
        f"Set the status of the suite behind door {door} to {condition}.",
        answer="done",
    )


@domain.goal
def same_rate(plan: Plan) -> None:
    """A read whose result is then written elsewhere."""
    source, target = plan.pick("suites", 2)
    plan.do("set_rate", suite=target, dollars=plan.do("rate", suite=source))
    plan.ask(
        f"From today a night in the {target} costs as much as one in the {source}; change the rate.",
        f"Set the rate of the {target} to that of the {source}.",
        answer="done",
    )


@domain.goal
def refill_fewer(plan: Plan) -> None:
    """Two reads decide what is written."""
    one, two = plan.pick("suites", 2)
    left, right = plan.do("towels", suite=one), plan.do("towels", suite=two)
    pieces = max(left, right) + plan.rng.randint(1, 9)
    plan.do("set_towels", suite=one if left < right else two, pieces=pieces)
    plan.ask(
        f"Of the {one} and the {two}, set the one with fewer towels to {pieces} towels.",
        f"Compare the towels in the {one} and the {two}. The suite with fewer gets {pieces} in total.",
        answer="done",
        because=f"{min(left, right)} is less than {max(left, right)}",
    )
