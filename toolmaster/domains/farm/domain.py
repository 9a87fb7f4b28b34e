"""A farm: its fields, how large they are, which cows and crops are on them, and the ploughing."""

from __future__ import annotations

import random

from toolmaster.world.domain import Amount, Domain, Name, Plan, Position, State, Word, names, number

SOILS = (
    "Upper", "Lower", "Eastern", "Western", "Sunny", "Rocky", "Sandy", "Windy", "Misty", "Marshy",
    "Grassy", "Stony", "Sloping", "Fertile", "Fenced", "Narrow", "Mossy", "Shady", "Flat", "Dewy",
)  # fmt: skip
FIELDS = (
    "Acre", "Pasture", "Paddock", "Plot", "Field", "Terrace", "Croft", "Ridge", "Hillside",
    "Valley", "Patch", "Furrow", "Strip", "Glade", "Knoll", "Brook", "Corner", "Clearing",
    "Meadow", "Slope",
)  # fmt: skip
CROPS = ("potatoes", "beans", "pumpkins", "carrots", "cabbage", "turnips")

FIELD = Name(("field", "land", "plot", "ground", "parcel", "where"))
PLACE = Position(("place", "position", "rank", "order", "row"))
CROP = Word(("crop", "plant", "vegetable", "seed", "what"))

domain = Domain("farm", "seen", "fields with areas, cows and crops; a ploughing order")


@domain.state
def make_state(rng: random.Random) -> State:
    """Eight fields, no crop on more than two, five of them to be ploughed."""
    fields = names(rng, SOILS, FIELDS, 8)
    cows = rng.sample(range(3, 99), 8)
    crops = rng.sample(CROPS * 2, 8)
    return {
        "fields": {
            field: {
                "area": rng.randint(25, 2999) / 100,
                "cows": cows.pop(),
                "crop": crops.pop(),
            }
            for field in fields
        },
        "ploughing": rng.sample(fields, 5),
    }


@domain.read("area", "hectares", "land", "extent", doc="Area of a field in hectares",
             returns=Amount(), field=FIELD)  # fmt: skip
def area(state: State, field: str) -> float:
    """How large a field is, in hectares."""
    return number(state["fields"][field]["area"])


@domain.read("cows", "cattle", "herd", "livestock", doc="Number of cows on a field",
             returns=Amount(), field=FIELD)  # fmt: skip
def cows(state: State, field: str) -> float:
    """How many cows graze on a field."""
    return number(state["fields"][field]["cows"])


@domain.read("crop", "plant", "harvest", "vegetable", doc="Crop that grows on a field",
             returns=Word(), field=FIELD)  # fmt: skip
def crop(state: State, field: str) -> str:
    """What grows on a field."""
    return str(state["fields"][field]["crop"])


@domain.read("ploughing", "plough", "tractor", "fieldwork", doc="Field at a place of the ploughing order",
             returns=Name(), place=PLACE)  # fmt: skip
def ploughed(state: State, place: int) -> str:
    """Which field is ploughed at a place of the order, counted from 1."""
    return str(state["ploughing"][place - 1])


@domain.write("survey", "acreage", "boundary", "map", doc="Set the area of a field in hectares",
              shown_by="area", value="hectares", field=FIELD,
              hectares=Amount(("hectares", "area", "size", "surface", "extent")))  # fmt: skip
def set_area(state: State, field: str, hectares: float) -> None:
    """Set how large a field is, in hectares."""
    state["fields"][field]["area"] = hectares


@domain.write("grazing", "barn", "animals", "stable", doc="Set the number of cows on a field",
              shown_by="cows", value="head", field=FIELD,
              head=Amount(("cows", "animals", "count", "number", "head")))  # fmt: skip
def set_cows(state: State, field: str, head: float) -> None:
    """Set how many cows graze on a field."""
    state["fields"][field]["cows"] = head


@domain.write("sowing", "planting", "seed", "rotation", doc="Set the crop that grows on a field",
              shown_by="crop", value="plant", field=FIELD, plant=CROP)  # fmt: skip
def sow(state: State, field: str, plant: str) -> None:
    """Set what grows on a field."""
    state["fields"][field]["crop"] = plant


@domain.goal
def ask_area(plan: Plan) -> None:
    """One read of a number."""
    [field] = plan.pick("fields")
    plan.ask(
        f"How many hectares does the {field} have?",
        f"How large is the {field} in hectares?",
        f"The tax office asks for the area of the {field} in hectares.",
        answer=plan.do("area", field=field),
    )


@domain.goal
def ask_crop(plan: Plan) -> None:
    """One read of a word."""
    [field] = plan.pick("fields")
    plan.ask(
        f"What grows on the {field}?",
        f"Which crop do we have on the {field}?",
        answer=plan.do("crop", field=field),
    )


@domain.goal
def to_plough(plan: Plan) -> None:
    """One read by position."""
    place = plan.rng.randint(2, 5)
    plan.ask(
        f"Which field is at place {place} of the ploughing order?",
        f"Which field do I have to plough at place {place} of the order?",
        answer=plan.do("ploughed", place=place),
    )


@domain.goal
def compare_cows(plan: Plan) -> None:
    """Two reads and a comparison."""
    one, two = plan.pick("fields", 2)
    left, right = plan.do("cows", field=one), plan.do("cows", field=two)
    plan.ask(
        f"Are there more cows on the {one} or on the {two}? Name the field.",
        f"Which field has more cows, the {one} or the {two}?",
        answer=one if left > right else two,
        because=f"{max(left, right)} is more than {min(left, right)}",
    )


@domain.goal
def cows_before_ploughing(plan: Plan) -> None:
    """A chain from a position to a number."""
    place = plan.rng.randint(2, 5)
    field = plan.do("ploughed", place=place)
    plan.ask(
        f"How many cows are on the field at place {place} of the ploughing order?",
        f"Before I plough the field at place {place} of the order: how many cows are on it?",
        answer=plan.do("cows", field=field),
    )


@domain.goal
def graze(plan: Plan) -> None:
    """One write."""
    [field] = plan.pick("fields")
    head = plan.whole_number()
    plan.do("set_cows", field=field, head=head)
    plan.ask(
        f"There are now {head} cows on the {field}; write it down.",
        f"Set the number of cows on the {field} to {head}.",
        answer="done",
    )


@domain.goal
def measure(plan: Plan) -> None:
    """One write of decimals."""
    [field] = plan.pick("fields")
    hectares = plan.rng.randint(25, 2999) / 100
    plan.do("set_area", field=field, hectares=hectares)
    plan.ask(
        f"The {field} was measured again: it has {hectares} hectares. Correct our books.",
        f"Change the area of the {field} to {hectares} hectares.",
        answer="done",
    )


@domain.goal
def same_crop(plan: Plan) -> None:
    """A read of a word that is then written elsewhere."""
    [source] = plan.pick("fields")
    plant = plan.do("crop", field=source)
    others = [field for field, facts in plan.state["fields"].items() if facts["crop"] != plant]
    target = plan.rng.choice(sorted(others))
    plan.do("sow", field=target, plant=plant)
    plan.ask(
        f"Sow on the {target} what grows on the {source}.",
        f"The {target} gets the same crop as the {source}; change it.",
        answer="done",
    )


@domain.goal
def swap_cows(plan: Plan) -> None:
    """Two reads and two writes."""
    one, two = plan.pick("fields", 2)
    left, right = plan.do("cows", field=one), plan.do("cows", field=two)
    plan.do("set_cows", field=one, head=right)
    plan.do("set_cows", field=two, head=left)
    plan.ask(
        f"All cows of the {one} and all cows of the {two} change places; update both fields.",
        f"Swap the numbers of cows of the {one} and the {two}.",
        answer="done",
    )
