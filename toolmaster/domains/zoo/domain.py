"""A zoo: its animals, what they weigh and eat, where they live and with whom, and the feeding."""

from __future__ import annotations

import random

from toolmaster.world.domain import Amount, Domain, Name, Plan, Position, State, Word, names, number

TEMPERS = (
    "Spotted", "Striped", "Sleepy", "Grumpy", "Tiny", "Shaggy", "Clever", "Hungry", "Noisy",
    "Gentle", "Fluffy", "Woolly", "Playful", "Proud", "Shy", "Lazy", "Jolly", "Curious", "Hairy",
    "Nimble",
)  # fmt: skip
ANIMALS = (
    "Zebra", "Otter", "Lemur", "Panda", "Tiger", "Parrot", "Camel", "Moose", "Walrus", "Gorilla",
    "Badger", "Hippo", "Llama", "Ocelot", "Tapir", "Iguana", "Flamingo", "Beaver", "Jaguar",
    "Koala",
)  # fmt: skip
ENCLOSURES = ("aviary", "savanna", "jungle", "aquarium", "cave")

ANIMAL = Name(("animal", "creature", "beast", "resident", "species", "name"))
PLACE = Position(("place", "position", "rank", "stop", "order"))
MEALS = Amount(("meals", "portions", "count", "number", "amount"))

domain = Domain("zoo", "seen", "animals with weights, meals and enclosures; a feeding order")


@domain.state
def make_state(rng: random.Random) -> State:
    """Eight animals, five of them in the feeding order."""
    animals = names(rng, TEMPERS, ANIMALS, 8)
    meals = rng.sample(range(3, 99), 8)
    return {
        "animals": {
            animal: {
                "weight": rng.randint(300, 29999) / 100,
                "meals": meals.pop(),
                "enclosure": rng.choice(ENCLOSURES),
            }
            for animal in animals
        },
        "feeding": rng.sample(animals, 5),
    }


@domain.read("weight", "mass", "heaviness", "kilograms", doc="Weight of an animal in kilograms",
             returns=Amount(), animal=ANIMAL)  # fmt: skip
def weight(state: State, animal: str) -> float:
    """What an animal weighs, in kilograms."""
    return number(state["animals"][animal]["weight"])


@domain.read("meals", "ration", "food", "diet", doc="Meals that an animal gets per week",
             returns=Amount(), animal=ANIMAL)  # fmt: skip
def meals(state: State, animal: str) -> float:
    """How many meals an animal gets per week."""
    return number(state["animals"][animal]["meals"])


@domain.read("enclosure", "habitat", "home", "pen", doc="Enclosure where an animal lives",
             returns=Word(), animal=ANIMAL)  # fmt: skip
def enclosure(state: State, animal: str) -> str:
    """Where an animal lives."""
    return str(state["animals"][animal]["enclosure"])


@domain.read("housemates", "neighbours", "group", "company",
             doc="The other animals in the enclosure of an animal, or none",
             returns=Word(), animal=ANIMAL)  # fmt: skip
def housemates(state: State, animal: str) -> str:
    """Who shares the enclosure, by name and separated by commas."""
    home = state["animals"][animal]["enclosure"]
    others = [n for n, a in state["animals"].items() if a["enclosure"] == home and n != animal]
    return ", ".join(sorted(others)) or "none"


@domain.read("feeding", "tour", "visit", "routine", doc="Animal at a place of the feeding order",
             returns=Name(), place=PLACE)  # fmt: skip
def fed(state: State, place: int) -> str:
    """Which animal is fed at a place of the order, counted from 1."""
    return str(state["feeding"][place - 1])


@domain.write("weighing", "growth", "checkup", "size", doc="Set the weight of an animal in kilograms",
              shown_by="weight", value="kilograms", animal=ANIMAL,
              kilograms=Amount(("kilograms", "weight", "mass", "reading", "measured")))  # fmt: skip
def set_weight(state: State, animal: str, kilograms: float) -> None:
    """Set what an animal weighs, in kilograms."""
    state["animals"][animal]["weight"] = kilograms


@domain.write("feed", "portion", "menu", "allowance", doc="Set how many meals an animal gets per week",
              shown_by="meals", value="weekly", animal=ANIMAL, weekly=MEALS)  # fmt: skip
def set_meals(state: State, animal: str, weekly: float) -> None:
    """Set how many meals an animal gets per week."""
    state["animals"][animal]["meals"] = weekly


@domain.goal
def ask_weight(plan: Plan) -> None:
    """One read of a number."""
    [animal] = plan.pick("animals")
    plan.ask(
        f"How much does the {animal} weigh in kilograms?",
        f"A visitor asks how many kilograms our {animal} weighs.",
        answer=plan.do("weight", animal=animal),
    )


@domain.goal
def ask_enclosure(plan: Plan) -> None:
    """One read of a word."""
    [animal] = plan.pick("animals")
    plan.ask(
        f"In which enclosure does the {animal} live?",
        f"My children want to see the {animal}. Which enclosure is it in?",
        answer=plan.do("enclosure", animal=animal),
    )


@domain.goal
def ask_housemates(plan: Plan) -> None:
    """One read of a list of names."""
    [animal] = plan.pick("animals")
    plan.ask(
        f"Which other animals live with the {animal}? List them, or say none.",
        f"Name all animals that share the enclosure of the {animal}, or say none.",
        answer=plan.do("housemates", animal=animal),
    )


@domain.goal
def who_is_fed(plan: Plan) -> None:
    """One read by position."""
    place = plan.rng.randint(2, 5)
    plan.ask(
        f"Which animal is at place {place} of the feeding order?",
        f"Whom do the keepers feed at place {place} of the feeding order?",
        answer=plan.do("fed", place=place),
    )


@domain.goal
def compare_meals(plan: Plan) -> None:
    """Two reads and a comparison."""
    one, two = plan.pick("animals", 2)
    left, right = plan.do("meals", animal=one), plan.do("meals", animal=two)
    plan.ask(
        f"Which animal gets fewer meals per week, the {one} or the {two}?",
        f"The {one} or the {two}: who eats less often in a week?",
        answer=one if left < right else two,
        because=f"{min(left, right)} is less than {max(left, right)}",
    )


@domain.goal
def where_to_feed(plan: Plan) -> None:
    """A chain from a position to a word."""
    place = plan.rng.randint(2, 5)
    animal = plan.do("fed", place=place)
    plan.ask(
        f"To which enclosure must I go for the animal at place {place} of the feeding order?",
        f"Where does the animal live that is fed at place {place} of the feeding order?",
        answer=plan.do("enclosure", animal=animal),
    )


@domain.goal
def change_diet(plan: Plan) -> None:
    """One write."""
    [animal] = plan.pick("animals")
    weekly = plan.whole_number()
    plan.do("set_meals", animal=animal, weekly=weekly)
    plan.ask(
        f"From now on the {animal} gets {weekly} meals per week.",
        f"Change the meals of the {animal} to {weekly} per week.",
        answer="done",
    )


@domain.goal
def same_diet(plan: Plan) -> None:
    """A read whose result is then written elsewhere."""
    source, target = plan.pick("animals", 2)
    plan.do("set_meals", animal=target, weekly=plan.do("meals", animal=source))
    plan.ask(
        f"Give the {target} as many meals per week as the {source}.",
        f"The {target} should eat as often per week as the {source}; set its meals so.",
        answer="done",
    )


@domain.goal
def weigh_fed(plan: Plan) -> None:
    """A chain that ends in a write of decimals."""
    place = plan.rng.randint(2, 5)
    kilograms = plan.rng.randint(300, 29999) / 100
    plan.do("set_weight", animal=plan.do("fed", place=place), kilograms=kilograms)
    plan.ask(
        f"The animal at place {place} of the feeding order now weighs {kilograms} kilograms; save it.",
        f"Set the weight of the animal at place {place} of the feeding order to {kilograms} kilograms.",
        answer="done",
    )
