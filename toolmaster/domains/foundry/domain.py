"""A foundry: its castings, what they weigh, their flaws, furnaces, and the moulds they lie in."""

from __future__ import annotations

import random

from toolmaster.world.domain import Amount, Domain, Name, Plan, Position, State, Word, names, number

METALS = (
    "Bronze", "Brass", "Nickel", "Cobalt", "Titanium", "Zinc", "Pewter", "Chromium", "Tungsten",
    "Manganese", "Gunmetal", "Copper", "Leaden", "Vanadium", "Silicon", "Magnesium", "Bismuth",
    "Antimony", "Steel", "Aluminium",
)  # fmt: skip
SHAPES = (
    "Flywheel", "Bracket", "Gear", "Flange", "Anvil", "Bushing", "Impeller", "Sprocket", "Bell",
    "Hinge", "Pulley", "Manifold", "Housing", "Rotor", "Ingot", "Nozzle", "Plinth", "Girder",
    "Rivet", "Cannon",
)  # fmt: skip
FURNACES = ("cupola", "crucible", "bessemer", "induction", "arc")

CASTING = Name(("casting", "pour", "ware", "component", "artifact", "metalwork"))
MOULD = Position(("mould", "cavity", "die", "cast", "matrix"))

domain = Domain("foundry", "unseen", "castings with tonnages, flaws and furnaces, in moulds")


@domain.state
def make_state(rng: random.Random) -> State:
    """Eight castings in moulds 1 to 8, at most two from one furnace."""
    castings = names(rng, METALS, SHAPES, 8)
    flaws = rng.sample(range(3, 99), 8)
    moulds = rng.sample(range(1, 9), 8)
    furnaces = rng.sample(FURNACES * 2, 8)
    return {
        "castings": {
            casting: {
                "tonnage": rng.randint(25, 1999) / 100,
                "flaws": flaws.pop(),
                "furnace": furnaces.pop(),
                "mould": moulds.pop(),
            }
            for casting in castings
        },
    }


@domain.read("tonnage", "heft", "tonnes", "burden", doc="Tonnage of a casting in tonnes",
             returns=Amount(), casting=CASTING)  # fmt: skip
def tonnage(state: State, casting: str) -> float:
    """How much metal a casting takes, in tonnes."""
    return number(state["castings"][casting]["tonnage"])


@domain.read("flaws", "defects", "cracks", "blemishes", doc="Flaws found in a casting",
             returns=Amount(), casting=CASTING)  # fmt: skip
def flaws(state: State, casting: str) -> float:
    """How many flaws were found."""
    return number(state["castings"][casting]["flaws"])


@domain.read("furnace", "smelter", "hearth", "kiln", doc="Furnace that melts the metal of a casting",
             returns=Word(), casting=CASTING)  # fmt: skip
def furnace(state: State, casting: str) -> str:
    """Which furnace melts the metal."""
    return str(state["castings"][casting]["furnace"])


@domain.read("mould", "cavity", "die", "pattern", doc="Casting that lies in the mould of a number",
             returns=Name(), mould=MOULD)  # fmt: skip
def moulded(state: State, mould: int) -> str:
    """Which casting lies in a mould, counted from 1."""
    castings = state["castings"]
    return str(sorted(castings, key=lambda name: int(castings[name]["mould"]))[mould - 1])


@domain.write("grinding", "inspection", "faults", "finish", doc="Set how many flaws a casting has",
              shown_by="flaws", value="tally", casting=CASTING,
              tally=Amount(("tally", "flaws", "defects", "quantity", "figure")))  # fmt: skip
def set_flaws(state: State, casting: str, tally: float) -> None:
    """Set how many flaws were found."""
    state["castings"][casting]["flaws"] = tally


@domain.write("melt", "ladle", "metal", "alloy", doc="Set the tonnage of a casting in tonnes",
              shown_by="tonnage", value="tonnes", casting=CASTING,
              tonnes=Amount(("tonnes", "tonnage", "heft", "burden", "metal")))  # fmt: skip
def set_tonnage(state: State, casting: str, tonnes: float) -> None:
    """Set how much metal a casting takes, in tonnes."""
    state["castings"][casting]["tonnage"] = tonnes


@domain.write("bellows", "ignition", "smelting", "blast", doc="Send a casting to another furnace",
              shown_by="furnace", value="smelter", casting=CASTING,
              smelter=Word(("furnace", "smelter", "hearth", "kiln", "burner")))  # fmt: skip
def melt_in(state: State, casting: str, smelter: str) -> None:
    """Set which furnace melts the metal."""
    state["castings"][casting]["furnace"] = smelter


@domain.goal
def ask_tonnage(plan: Plan) -> None:
    """One read of a number."""
    [casting] = plan.pick("castings")
    plan.ask(
        f"How many tonnes is the {casting}?",
        f"What tonnage does the {casting} have, in tonnes?",
        f"The crane driver needs the tonnage of the {casting} in tonnes.",
        answer=plan.do("tonnage", casting=casting),
    )


@domain.goal
def ask_furnace(plan: Plan) -> None:
    """One read of a word."""
    [casting] = plan.pick("castings")
    plan.ask(
        f"Which furnace melts the metal for the {casting}?",
        f"From which furnace does the metal of the {casting} come?",
        answer=plan.do("furnace", casting=casting),
    )


@domain.goal
def in_mould(plan: Plan) -> None:
    """One read by number."""
    mould = plan.rng.randint(2, 5)
    plan.ask(
        f"Which casting lies in mould {mould}?",
        f"I am about to open mould {mould}. What is in it?",
        answer=plan.do("moulded", mould=mould),
    )


@domain.goal
def compare_flaws(plan: Plan) -> None:
    """Two reads and a comparison."""
    one, two = plan.pick("castings", 2)
    left, right = plan.do("flaws", casting=one), plan.do("flaws", casting=two)
    plan.ask(
        f"Which casting turned out better, with fewer flaws: the {one} or the {two}?",
        f"Does the {one} or the {two} have fewer flaws?",
        answer=one if left < right else two,
        because=f"{min(left, right)} is less than {max(left, right)}",
    )


@domain.goal
def flaws_in_mould(plan: Plan) -> None:
    """A chain from a mould to a number."""
    mould = plan.rng.randint(2, 5)
    casting = plan.do("moulded", mould=mould)
    plan.ask(
        f"How many flaws does the casting in mould {mould} have?",
        f"Somebody complained about mould {mould}. How many flaws has the casting in it?",
        answer=plan.do("flaws", casting=casting),
    )


@domain.goal
def grind(plan: Plan) -> None:
    """One write."""
    [casting] = plan.pick("castings")
    tally = plan.rng.randint(3, 98)
    plan.do("set_flaws", casting=casting, tally=tally)
    plan.ask(
        f"After grinding, the {casting} has {tally} flaws; correct the figure.",
        f"The {casting} has {tally} flaws by now. Please note it.",
        answer="done",
    )


@domain.goal
def same_furnace(plan: Plan) -> None:
    """A read of a word that is then written elsewhere."""
    [first] = plan.pick("castings")
    smelter = plan.do("furnace", casting=first)
    others = [name for name, facts in plan.state["castings"].items() if facts["furnace"] != smelter]
    second = plan.rng.choice(sorted(others))
    plan.do("melt_in", casting=second, smelter=smelter)
    plan.ask(
        f"Melt the metal for the {second} in the furnace of the {first}; reassign it.",
        f"The {second} must be sent to the same furnace as the {first}.",
        answer="done",
    )


@domain.goal
def load_moulds(plan: Plan) -> None:
    """Two chains that each end in a write of decimals."""
    first, second = plan.rng.sample(range(2, 6), 2)
    tonnes = plan.rng.randint(25, 1999) / 100
    for mould in (first, second):
        plan.do("set_tonnage", casting=plan.do("moulded", mould=mould), tonnes=tonnes)
    plan.ask(
        f"Set the tonnage of the castings in moulds {first} and {second} to {tonnes} tonnes each.",
        f"Moulds {first} and {second} were filled anew: note {tonnes} tonnes for each casting in them.",
        answer="done",
    )
