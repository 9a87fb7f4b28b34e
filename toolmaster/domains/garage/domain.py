"""A garage: cars under repair, their fuel, hours of work, bays, mechanics, and the queue."""

from __future__ import annotations

import random

from toolmaster.world.domain import Amount, Domain, Name, Plan, Position, State, Word, names, number

LOOKS = (
    "Rusty", "Turbo", "Dusty", "Sporty", "Vintage", "Electric", "Diesel", "Chrome", "Mighty",
    "Speedy", "Compact", "Custom", "Muddy", "Polished", "Classic", "Racing", "Rugged", "Blue",
    "Orange", "Squeaky",
)  # fmt: skip
CARS = (
    "Sedan", "Coupe", "Van", "Pickup", "Wagon", "Roadster", "Hatchback", "Jeep", "Limousine",
    "Convertible", "Truck", "Minibus", "Scooter", "Camper", "Buggy", "Moped", "Trike",
    "Motorbike", "Hotrod", "Cabriolet",
)  # fmt: skip
BAYS = ("ramp", "pit", "lift", "yard", "wash", "spray booth")
MECHANICS = ("Ida", "Sam", "Zoe", "Tom", "Eva")

CAR = Name(("car", "vehicle", "auto", "machine", "automobile", "model"))
PLACE = Position(("place", "position", "rank", "order", "spot"))

domain = Domain("garage", "seen", "cars with fuel, hours of work, bays and mechanics; a queue")


@domain.state
def make_state(rng: random.Random) -> State:
    """Eight cars, at most two in one bay, five of them in the queue."""
    cars = names(rng, LOOKS, CARS, 8)
    hours = rng.sample(range(3, 99), 8)
    bays = rng.sample(BAYS * 2, 8)
    return {
        "cars": {
            car: {
                "fuel": rng.randint(100, 6999) / 100,
                "hours": hours.pop(),
                "bay": bays.pop(),
                "mechanic": rng.choice(MECHANICS),
            }
            for car in cars
        },
        "queue": rng.sample(cars, 5),
    }


@domain.read("fuel", "tank", "petrol", "gas", doc="Fuel in the tank of a car in litres",
             returns=Amount(), car=CAR)  # fmt: skip
def fuel(state: State, car: str) -> float:
    """How much fuel is left, in litres."""
    return number(state["cars"][car]["fuel"])


@domain.read("hours", "labor", "work", "workload", doc="Hours of work that a car needs",
             returns=Amount(), car=CAR)  # fmt: skip
def hours(state: State, car: str) -> float:
    """How many hours of work are planned."""
    return number(state["cars"][car]["hours"])


@domain.read("bay", "location", "whereabouts", "area", doc="Bay where a car stands",
             returns=Word(), car=CAR)  # fmt: skip
def bay(state: State, car: str) -> str:
    """Where a car stands."""
    return str(state["cars"][car]["bay"])


@domain.read("mechanic", "worker", "technician", "staff", doc="Mechanic who repairs a car",
             returns=Word(), car=CAR)  # fmt: skip
def mechanic(state: State, car: str) -> str:
    """Who repairs a car."""
    return str(state["cars"][car]["mechanic"])


@domain.read("queue", "line", "waiting", "backlog", doc="Car at a place of the repair queue",
             returns=Name(), place=PLACE)  # fmt: skip
def queued(state: State, place: int) -> str:
    """Which car waits at a place of the queue, counted from 1."""
    return str(state["queue"][place - 1])


@domain.write("refill", "refuel", "topup", "fueling", doc="Set the fuel of a car in litres",
              shown_by="fuel", value="litres", car=CAR,
              litres=Amount(("litres", "fuel", "amount", "volume", "filling")))  # fmt: skip
def set_fuel(state: State, car: str, litres: float) -> None:
    """Set how much fuel is left, in litres."""
    state["cars"][car]["fuel"] = litres


@domain.write("timesheet", "estimate", "repair", "effort", doc="Set the hours of work of a car",
              shown_by="hours", value="planned", car=CAR,
              planned=Amount(("planned", "hours", "time", "count", "number")))  # fmt: skip
def set_hours(state: State, car: str, planned: float) -> None:
    """Set how many hours of work are planned."""
    state["cars"][car]["hours"] = planned


@domain.write("move", "parking", "transfer", "drive", doc="Move a car to another bay",
              shown_by="bay", value="where", car=CAR,
              where=Word(("where", "bay", "destination", "goal", "location")))  # fmt: skip
def move(state: State, car: str, where: str) -> None:
    """Move a car to a bay."""
    state["cars"][car]["bay"] = where


@domain.goal
def ask_fuel(plan: Plan) -> None:
    """One read of a number."""
    [car] = plan.pick("cars")
    plan.ask(
        f"How many litres of fuel are in the {car}?",
        f"Check the tank of the {car} and tell me the litres.",
        answer=plan.do("fuel", car=car),
    )


@domain.goal
def ask_bay(plan: Plan) -> None:
    """One read of a word."""
    [car] = plan.pick("cars")
    plan.ask(
        f"In which bay is the {car}?",
        f"The owner of the {car} is here. In which bay does it stand?",
        answer=plan.do("bay", car=car),
    )


@domain.goal
def who_repairs_queued(plan: Plan) -> None:
    """A chain from a position to a word."""
    place = plan.rng.randint(2, 5)
    car = plan.do("queued", place=place)
    plan.ask(
        f"Which mechanic repairs the car at place {place} of the queue?",
        f"Who is the mechanic of car number {place} in the repair queue?",
        answer=plan.do("mechanic", car=car),
    )


@domain.goal
def in_queue(plan: Plan) -> None:
    """One read by position."""
    place = plan.rng.randint(2, 5)
    plan.ask(
        f"Which car is at place {place} of the repair queue?",
        f"Tell me the car that waits at place {place} of the queue.",
        answer=plan.do("queued", place=place),
    )


@domain.goal
def compare_hours(plan: Plan) -> None:
    """Two reads and a comparison."""
    one, two = plan.pick("cars", 2)
    left, right = plan.do("hours", car=one), plan.do("hours", car=two)
    plan.ask(
        f"Which car needs more hours of work, the {one} or the {two}?",
        f"The {one} or the {two}: which one is the longer job?",
        answer=one if left > right else two,
        because=f"{max(left, right)} is more than {min(left, right)}",
    )


@domain.goal
def same_mechanic(plan: Plan) -> None:
    """Two reads of words and a yes or no."""
    one, two = plan.pick("cars", 2)
    left, right = plan.do("mechanic", car=one), plan.do("mechanic", car=two)
    plan.ask(
        f"Are the {one} and the {two} repaired by the same mechanic? Answer yes or no.",
        f"Yes or no: do the {one} and the {two} have the same mechanic?",
        answer="yes" if left == right else "no",
        because=f"it is {left} for one and {right} for the other",
    )


@domain.goal
def plan_work(plan: Plan) -> None:
    """One write."""
    [car] = plan.pick("cars")
    planned = plan.whole_number()
    plan.do("set_hours", car=car, planned=planned)
    plan.ask(
        f"Plan {planned} hours of work in total for the {car}.",
        f"The {car} will need {planned} hours of work; note that down.",
        answer="done",
    )


@domain.goal
def park_beside(plan: Plan) -> None:
    """A read of a word that is then written elsewhere."""
    [source] = plan.pick("cars")
    where = plan.do("bay", car=source)
    others = [car for car, facts in plan.state["cars"].items() if facts["bay"] != where]
    target = plan.rng.choice(sorted(others))
    plan.do("move", car=target, where=where)
    plan.ask(
        f"Move the {target} to the bay where the {source} stands.",
        f"Bring the {target} into the same bay as the {source}.",
        answer="done",
    )


@domain.goal
def refuel_queued(plan: Plan) -> None:
    """A chain that ends in a write of decimals."""
    place = plan.rng.randint(2, 5)
    litres = plan.rng.randint(100, 6999) / 100
    plan.do("set_fuel", car=plan.do("queued", place=place), litres=litres)
    plan.ask(
        f"The car at place {place} of the queue now has {litres} litres of fuel; update it.",
        f"Set the fuel of the car at place {place} of the repair queue to {litres} litres.",
        answer="done",
    )
