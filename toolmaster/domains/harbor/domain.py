"""A harbor: its vessels, how deep they lie, who sails them, where and beside whom they moor."""

from __future__ import annotations

import random

from toolmaster.world.domain import Amount, Domain, Name, Plan, Position, State, Word, names, number

SEAS = (
    "Gallant", "Stormy", "Tidal", "Briny", "Coral", "Marlin", "Albatross", "Kraken", "Trident",
    "Neptune", "Siren", "Corsair", "Bosun", "Mariner", "Lagoon", "Reef", "Atoll", "Gull",
    "Pelican", "Monsoon",
)  # fmt: skip
HULLS = (
    "Clipper", "Schooner", "Trawler", "Ketch", "Sloop", "Frigate", "Tanker", "Ferry", "Barge",
    "Cutter", "Yawl", "Brig", "Lugger", "Dinghy", "Catamaran", "Galleon", "Steamer", "Freighter",
    "Dredger", "Gondola",
)  # fmt: skip
MOORINGS = ("jetty", "wharf", "quay", "pontoon", "breakwater", "drydock")

VESSEL = Name(("vessel", "ship", "boat", "craft", "hull", "liner"))
BERTH = Word(("mooring", "berth", "pier", "harbourage", "anchorage"))
TURN = Position(("turn", "ordinal", "index", "nth", "sailing"))

domain = Domain("harbor", "unseen", "vessels with draughts, sailors and moorings; a convoy")


@domain.state
def make_state(rng: random.Random) -> State:
    """Eight vessels, moored in pairs, five of them in the convoy."""
    vessels = names(rng, SEAS, HULLS, 8)
    draughts = rng.sample(range(150, 2000), 8)
    sailors = rng.sample(range(3, 99), 8)
    moorings = rng.sample(MOORINGS, 4)
    return {
        "vessels": {
            vessel: {
                "draught": draughts[i] / 100,
                "sailors": sailors[i],
                "mooring": moorings[i // 2],
                "alongside": vessels[i ^ 1],
            }
            for i, vessel in enumerate(vessels)
        },
        "convoy": rng.sample(vessels, 5),
    }


@domain.read("draught", "depth", "keel", "immersion", doc="Draught of a vessel in metres",
             returns=Amount(), vessel=VESSEL)  # fmt: skip
def draught(state: State, vessel: str) -> float:
    """How deep a vessel lies in the water, in metres."""
    return number(state["vessels"][vessel]["draught"])


@domain.read("sailors", "crew", "complement", "seamen", doc="Sailors aboard a vessel",
             returns=Amount(), vessel=VESSEL)  # fmt: skip
def sailors(state: State, vessel: str) -> float:
    """How many sailors are aboard."""
    return number(state["vessels"][vessel]["sailors"])


@domain.read("mooring", "berth", "dock", "anchorage", doc="Mooring of a vessel",
             returns=Word(), vessel=VESSEL)  # fmt: skip
def mooring(state: State, vessel: str) -> str:
    """Where a vessel is moored."""
    return str(state["vessels"][vessel]["mooring"])


@domain.read("alongside", "abeam", "flank", "adjacent", doc="Vessel that lies alongside a vessel",
             returns=Name(), vessel=VESSEL)  # fmt: skip
def alongside(state: State, vessel: str) -> str:
    """Which vessel lies next to this one."""
    return str(state["vessels"][vessel]["alongside"])


@domain.read("convoy", "flotilla", "departure", "fleet", doc="Vessel that sails at a turn of the convoy",
             returns=Name(), turn=TURN)  # fmt: skip
def sails(state: State, turn: int) -> str:
    """Which vessel sails at a turn of the convoy, counted from 1."""
    return str(state["convoy"][turn - 1])


@domain.write("manning", "roster", "muster", "enlistment", doc="Set how many sailors a vessel has aboard",
              shown_by="sailors", value="aboard", vessel=VESSEL,
              aboard=Amount(("aboard", "sailors", "crew", "headcount", "quantity")))  # fmt: skip
def set_sailors(state: State, vessel: str, aboard: float) -> None:
    """Set how many sailors are aboard."""
    state["vessels"][vessel]["sailors"] = aboard


@domain.write("ballast", "waterline", "trim", "sounding", doc="Set the draught of a vessel in metres",
              shown_by="draught", value="metres", vessel=VESSEL,
              metres=Amount(("metres", "draught", "depth", "fathomed", "immersion")))  # fmt: skip
def set_draught(state: State, vessel: str, metres: float) -> None:
    """Set how deep a vessel lies in the water, in metres."""
    state["vessels"][vessel]["draught"] = metres


@domain.write("hawser", "bollard", "tether", "pilotage", doc="Bring a vessel to another mooring",
              shown_by="mooring", value="berth", vessel=VESSEL, berth=BERTH)  # fmt: skip
def moor(state: State, vessel: str, berth: str) -> None:
    """Bring a vessel to a mooring."""
    state["vessels"][vessel]["mooring"] = berth


@domain.goal
def ask_sailors(plan: Plan) -> None:
    """One read of a number."""
    [vessel] = plan.pick("vessels")
    plan.ask(
        f"How many sailors are aboard the {vessel}?",
        f"The coast guard asks how many sailors the {vessel} carries.",
        answer=plan.do("sailors", vessel=vessel),
    )


@domain.goal
def ask_mooring(plan: Plan) -> None:
    """One read of a word."""
    [vessel] = plan.pick("vessels")
    plan.ask(
        f"Where is the {vessel} moored?",
        f"I have cargo for the {vessel}. At which mooring does it lie?",
        answer=plan.do("mooring", vessel=vessel),
    )


@domain.goal
def in_convoy(plan: Plan) -> None:
    """One read by position."""
    turn = plan.rng.randint(2, 5)
    plan.ask(
        f"Which vessel sails at turn {turn} of the convoy?",
        f"Whose turn is number {turn} in the convoy? Name the vessel.",
        answer=plan.do("sails", turn=turn),
    )


@domain.goal
def compare_draught(plan: Plan) -> None:
    """Two reads of decimals and a comparison."""
    one, two = plan.pick("vessels", 2)
    left, right = plan.do("draught", vessel=one), plan.do("draught", vessel=two)
    plan.ask(
        f"Which vessel has the larger draught, the {one} or the {two}?",
        f"Does the {one} or the {two} lie deeper in the water?",
        answer=one if left > right else two,
        because=f"{max(left, right)} is more than {min(left, right)}",
    )


@domain.goal
def draught_alongside(plan: Plan) -> None:
    """A chain from a vessel to another one to a number."""
    [vessel] = plan.pick("vessels")
    beside = plan.do("alongside", vessel=vessel)
    plan.ask(
        f"What is the draught, in metres, of the vessel alongside the {vessel}?",
        f"How many metres deep lies the vessel that is alongside the {vessel}?",
        answer=plan.do("draught", vessel=beside),
    )


@domain.goal
def enlist(plan: Plan) -> None:
    """One write."""
    [vessel] = plan.pick("vessels")
    aboard = plan.rng.randint(3, 98)
    plan.do("set_sailors", vessel=vessel, aboard=aboard)
    plan.ask(
        f"The {vessel} now has {aboard} sailors aboard; correct the papers.",
        f"Make the crew of the {vessel} {aboard} sailors.",
        answer="done",
    )


@domain.goal
def same_draught(plan: Plan) -> None:
    """A read whose result is then written elsewhere."""
    source, target = plan.pick("vessels", 2)
    plan.do("set_draught", vessel=target, metres=plan.do("draught", vessel=source))
    plan.ask(
        f"After loading, the {target} has the same draught as the {source}; note that.",
        f"Give the {target} the draught of the {source}.",
        answer="done",
    )


@domain.goal
def moor_convoy(plan: Plan) -> None:
    """A chain that ends in a write of a word."""
    turn = plan.rng.randint(2, 5)
    vessel = plan.do("sails", turn=turn)
    now = plan.state["vessels"][vessel]["mooring"]
    berth = plan.rng.choice([word for word in MOORINGS if word != now])
    plan.do("moor", vessel=vessel, berth=berth)
    plan.ask(
        f"Bring the vessel at turn {turn} of the convoy to the {berth}.",
        f"The vessel that sails at turn {turn} of the convoy must moor at the {berth}.",
        answer="done",
    )
