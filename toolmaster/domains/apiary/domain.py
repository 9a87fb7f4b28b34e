"""An apiary: its bee colonies, their nectar and mites, painted queens, mothers, and the round."""

from __future__ import annotations

import random

from toolmaster.world.domain import Amount, Domain, Name, Plan, Position, State, Word, names, number

BLOSSOMS = (
    "Clover", "Heather", "Lavender", "Thyme", "Linden", "Acacia", "Buckwheat", "Sage", "Thistle",
    "Jasmine", "Borage", "Fennel", "Dandelion", "Foxglove", "Marigold", "Primrose", "Bluebell",
    "Larkspur", "Mallow", "Chicory",
)  # fmt: skip
HIVES = (
    "Hive", "Skep", "Colony", "Swarm", "Nucleus", "Comb", "Brood", "Dome", "Cradle", "Haven",
    "Bower", "Citadel", "Nest", "Stack", "Chapel", "Thicket", "Bivouac", "Trellis", "Burrow",
    "Gazebo",
)  # fmt: skip
PAINTS = ("amber", "ivory", "scarlet", "azure", "violet", "jade")

COLONY = Name(("colony", "hive", "swarm", "bees", "beehive", "family"))
TURN = Position(("turn", "ordinal", "index", "nth", "sequence"))

domain = Domain("apiary", "unseen", "bee colonies with nectar, mites, queens and mothers; a round")


@domain.state
def make_state(rng: random.Random) -> State:
    """Seven colonies, each split off from another; five of them on the round."""
    colonies = names(rng, BLOSSOMS, HIVES, 7)
    nectars = rng.sample(range(400, 4000), 7)
    mites = rng.sample(range(3, 99), 7)
    return {
        "colonies": {
            colony: {
                "nectar": nectars[i] / 100,
                "mites": mites[i],
                "queen": rng.choice(PAINTS),
                "mother": colonies[i - 1],
            }
            for i, colony in enumerate(colonies)
        },
        "round": rng.sample(colonies, 5),
    }


@domain.read("nectar", "yield", "ounces", "sweetness", doc="Nectar gathered by a colony in ounces",
             returns=Amount(), colony=COLONY)  # fmt: skip
def nectar(state: State, colony: str) -> float:
    """How much a colony gathered, in ounces."""
    return number(state["colonies"][colony]["nectar"])


@domain.read("mites", "parasites", "infestation", "varroa", doc="Mites found in a colony",
             returns=Amount(), colony=COLONY)  # fmt: skip
def mites(state: State, colony: str) -> float:
    """How many mites were found."""
    return number(state["colonies"][colony]["mites"])


@domain.read("queen", "paint", "colour", "dab", doc="Colour of the paint on the queen of a colony",
             returns=Word(), colony=COLONY)  # fmt: skip
def queen(state: State, colony: str) -> str:
    """How the queen of a colony is painted."""
    return str(state["colonies"][colony]["queen"])


@domain.read("mother", "ancestor", "lineage", "pedigree", doc="Mother colony of a colony",
             returns=Name(), colony=COLONY)  # fmt: skip
def mother(state: State, colony: str) -> str:
    """From which colony this one was split off."""
    return str(state["colonies"][colony]["mother"])


@domain.read("round", "walk", "circuit", "patrol", doc="Colony at a turn of the beekeeper's round",
             returns=Name(), turn=TURN)  # fmt: skip
def visited(state: State, turn: int) -> str:
    """Which colony is visited at a turn of the round, counted from 1."""
    return str(state["round"][turn - 1])


@domain.write("treating", "hygiene", "acid", "smoker", doc="Note how many mites a colony has",
              shown_by="mites", value="tally", colony=COLONY,
              tally=Amount(("tally", "mites", "quantity", "total", "figure")))  # fmt: skip
def set_mites(state: State, colony: str, tally: float) -> None:
    """Note how many mites were found."""
    state["colonies"][colony]["mites"] = tally


@domain.write("gathering", "extraction", "honeycomb", "jar", doc="Note the nectar of a colony in ounces",
              shown_by="nectar", value="ounces", colony=COLONY,
              ounces=Amount(("ounces", "nectar", "yield", "gathered", "haul")))  # fmt: skip
def set_nectar(state: State, colony: str, ounces: float) -> None:
    """Note how much a colony gathered, in ounces."""
    state["colonies"][colony]["nectar"] = ounces


@domain.goal
def ask_mites(plan: Plan) -> None:
    """One read of a number."""
    [colony] = plan.pick("colonies")
    plan.ask(
        f"How many mites were found in the {colony}?",
        f"I worry about the {colony}. How many mites does it have?",
        answer=plan.do("mites", colony=colony),
    )


@domain.goal
def ask_queen(plan: Plan) -> None:
    """One read of a word."""
    [colony] = plan.pick("colonies")
    plan.ask(
        f"In which colour is the queen of the {colony} painted?",
        f"I am searching for the queen of the {colony}. What colour of paint does she wear?",
        answer=plan.do("queen", colony=colony),
    )


@domain.goal
def on_round(plan: Plan) -> None:
    """One read by position."""
    turn = plan.rng.randint(2, 5)
    plan.ask(
        f"Which colony is visited at turn {turn} of the round?",
        f"At turn {turn} of my round, which colony do I come to?",
        answer=plan.do("visited", turn=turn),
    )


@domain.goal
def compare_nectar(plan: Plan) -> None:
    """Two reads of decimals and a comparison."""
    one, two = plan.pick("colonies", 2)
    left, right = plan.do("nectar", colony=one), plan.do("nectar", colony=two)
    plan.ask(
        f"Who gathered more nectar, the {one} or the {two}?",
        f"Which was busier, the {one} or the {two}? Go by the ounces of nectar.",
        answer=one if left > right else two,
        because=f"{max(left, right)} is more than {min(left, right)}",
    )


@domain.goal
def queen_of_mother(plan: Plan) -> None:
    """A chain from a colony to another one to a word."""
    [colony] = plan.pick("colonies")
    origin = plan.do("mother", colony=colony)
    plan.ask(
        f"What colour of paint does the queen of the mother colony of the {colony} wear?",
        f"The {colony} was split off from its mother colony. How is the queen over there painted?",
        answer=plan.do("queen", colony=origin),
    )


@domain.goal
def mother_on_round(plan: Plan) -> None:
    """A chain from a position to a name to another name."""
    turn = plan.rng.randint(2, 5)
    colony = plan.do("visited", turn=turn)
    plan.ask(
        f"Which is the mother colony of the colony at turn {turn} of the round?",
        f"From which mother colony does the colony at turn {turn} of the round come?",
        answer=plan.do("mother", colony=colony),
    )


@domain.goal
def note_mites(plan: Plan) -> None:
    """One write."""
    [colony] = plan.pick("colonies")
    tally = plan.rng.randint(3, 98)
    plan.do("set_mites", colony=colony, tally=tally)
    plan.ask(
        f"I found {tally} mites in the {colony} today; note it.",
        f"The count of mites in the {colony} has to be {tally} in our notes.",
        answer="done",
    )


@domain.goal
def same_nectar(plan: Plan) -> None:
    """A read whose result is then written elsewhere."""
    source, target = plan.pick("colonies", 2)
    plan.do("set_nectar", colony=target, ounces=plan.do("nectar", colony=source))
    plan.ask(
        f"It turns out that the {target} gathered just as much nectar as the {source}; correct that.",
        f"Note the nectar of the {source} for the {target} as well.",
        answer="done",
    )


@domain.goal
def treat_worse(plan: Plan) -> None:
    """Two reads decide what is written."""
    one, two = plan.pick("colonies", 2)
    left, right = plan.do("mites", colony=one), plan.do("mites", colony=two)
    plan.do("set_mites", colony=one if left > right else two, tally=2)
    plan.ask(
        f"I treated whichever of the {one} and the {two} had more mites. It has 2 left; note that.",
        f"Of the {one} and the {two}, the colony with more mites is down to 2 mites. Correct its figure.",
        answer="done",
        because=f"{max(left, right)} is more than {min(left, right)}",
    )
