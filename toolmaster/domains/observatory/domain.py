"""An observatory: celestial bodies, how bright they are, how they are photographed, the agenda."""

from __future__ import annotations

import random

from toolmaster.world.domain import Amount, Domain, Name, Plan, Position, State, Word, names, number

GLEAMS = (
    "Veiled", "Crimson", "Frozen", "Silent", "Twin", "Hollow", "Distant", "Radiant", "Ancient",
    "Wandering", "Faint", "Shattered", "Drifting", "Burning", "Ringed", "Eternal", "Obscure",
    "Pulsing", "Tumbling", "Remote",
)  # fmt: skip
BODIES = (
    "Nebula", "Quasar", "Comet", "Pulsar", "Cluster", "Galaxy", "Dwarf", "Giant", "Nova",
    "Moonlet", "Asteroid", "Halo", "Void", "Corona", "Meteor", "Plume", "Beacon", "Orbiter",
    "Planetoid", "Magnetar",
)  # fmt: skip
QUADRANTS = ("zenith", "ecliptic", "polar", "equatorial", "galactic", "horizon")

BODY = Name(("body", "star", "celestial", "luminary", "phenomenon", "sighting"))
TURN = Position(("turn", "ordinal", "index", "nth", "step"))

domain = Domain("observatory", "unseen", "bodies with magnitudes, captures, dwells; an agenda")


@domain.state
def make_state(rng: random.Random) -> State:
    """Eight bodies, five of them on tonight's agenda."""
    bodies = names(rng, GLEAMS, BODIES, 8)
    captures = rng.sample(range(3, 99), 8)
    return {
        "bodies": {
            body: {
                "magnitude": rng.randint(100, 2499) / 100,
                "captures": captures.pop(),
                "dwell": rng.randint(50, 8999) / 100,
                "quadrant": rng.choice(QUADRANTS),
            }
            for body in bodies
        },
        "agenda": rng.sample(bodies, 5),
    }


@domain.read("magnitude", "brightness", "luminosity", "glow", doc="Magnitude of a celestial body",
             returns=Amount(), body=BODY)  # fmt: skip
def magnitude(state: State, body: str) -> float:
    """How bright a body appears."""
    return number(state["bodies"][body]["magnitude"])


@domain.read("captures", "photographs", "snapshots", "plates", doc="Photographs taken of a body so far",
             returns=Amount(), body=BODY)  # fmt: skip
def captures(state: State, body: str) -> float:
    """How many photographs there are."""
    return number(state["bodies"][body]["captures"])


@domain.read("dwell", "shutter", "duration", "exposure", doc="Exposure of a body in seconds",
             returns=Amount(), body=BODY)  # fmt: skip
def dwell(state: State, body: str) -> float:
    """How long a body is exposed, in seconds."""
    return number(state["bodies"][body]["dwell"])


@domain.read("quadrant", "sky", "hemisphere", "bearing", doc="Part of the sky where a body is",
             returns=Word(), body=BODY)  # fmt: skip
def quadrant(state: State, body: str) -> str:
    """Where in the sky a body is."""
    return str(state["bodies"][body]["quadrant"])


@domain.read("agenda", "schedule", "tonight", "timetable", doc="Body that is observed at a turn of the agenda",
             returns=Name(), turn=TURN)  # fmt: skip
def observed(state: State, turn: int) -> str:
    """Which body is observed at a turn of the agenda, counted from 1."""
    return str(state["agenda"][turn - 1])


@domain.write("album", "gallery", "archive", "imagery", doc="Set how many photographs of a body exist",
              shown_by="captures", value="tally", body=BODY,
              tally=Amount(("tally", "photographs", "quantity", "total", "figure")))  # fmt: skip
def set_captures(state: State, body: str, tally: float) -> None:
    """Set how many photographs there are."""
    state["bodies"][body]["captures"] = tally


@domain.write("camera", "lens", "sensor", "timing", doc="Set the exposure of a body in seconds",
              shown_by="dwell", value="seconds", body=BODY,
              seconds=Amount(("seconds", "exposure", "duration", "interval", "span")))  # fmt: skip
def set_dwell(state: State, body: str, seconds: float) -> None:
    """Set how long a body is exposed, in seconds."""
    state["bodies"][body]["dwell"] = seconds


@domain.goal
def ask_magnitude(plan: Plan) -> None:
    """One read of a number."""
    [body] = plan.pick("bodies")
    plan.ask(
        f"What is the magnitude of the {body}?",
        f"Please tell me which magnitude the {body} has.",
        f"I am writing about the {body} and need its magnitude.",
        answer=plan.do("magnitude", body=body),
    )


@domain.goal
def ask_quadrant(plan: Plan) -> None:
    """One read of a word."""
    [body] = plan.pick("bodies")
    plan.ask(
        f"In which part of the sky can the {body} be found?",
        f"To which part of the sky do I point the telescope for the {body}?",
        answer=plan.do("quadrant", body=body),
    )


@domain.goal
def on_agenda(plan: Plan) -> None:
    """One read by position."""
    turn = plan.rng.randint(2, 5)
    plan.ask(
        f"Which body do we observe at turn {turn} of the agenda?",
        f"What is observed at turn {turn} of tonight's agenda?",
        answer=plan.do("observed", turn=turn),
    )


@domain.goal
def compare_captures(plan: Plan) -> None:
    """Two reads and a comparison."""
    one, two = plan.pick("bodies", 2)
    left, right = plan.do("captures", body=one), plan.do("captures", body=two)
    plan.ask(
        f"Of which body do we have fewer photographs, the {one} or the {two}?",
        f"The {one} and the {two}: which of them has been photographed less often?",
        answer=one if left < right else two,
        because=f"{min(left, right)} is less than {max(left, right)}",
    )


@domain.goal
def dwell_on_agenda(plan: Plan) -> None:
    """A chain from a position to a number."""
    turn = plan.rng.randint(2, 5)
    body = plan.do("observed", turn=turn)
    plan.ask(
        f"How many seconds do we expose the body at turn {turn} of the agenda?",
        f"What is the exposure, in seconds, of the body observed at turn {turn} of the agenda?",
        answer=plan.do("dwell", body=body),
    )


@domain.goal
def archive(plan: Plan) -> None:
    """One write."""
    [body] = plan.pick("bodies")
    tally = plan.rng.randint(3, 98)
    plan.do("set_captures", body=body, tally=tally)
    plan.ask(
        f"We now have {tally} photographs of the {body} in total; correct the figure.",
        f"Make it {tally} photographs for the {body}.",
        answer="done",
    )


@domain.goal
def same_dwell(plan: Plan) -> None:
    """A read whose result is then written elsewhere."""
    source, target = plan.pick("bodies", 2)
    plan.do("set_dwell", body=target, seconds=plan.do("dwell", body=source))
    plan.ask(
        f"Expose the {target} exactly as long as the {source}; adapt its exposure.",
        f"The exposure of the {target} should equal that of the {source}.",
        answer="done",
    )


@domain.goal
def expose_on_agenda(plan: Plan) -> None:
    """A chain that ends in a write of decimals."""
    turn = plan.rng.randint(2, 5)
    seconds = plan.rng.randint(50, 8999) / 100
    plan.do("set_dwell", body=plan.do("observed", turn=turn), seconds=seconds)
    plan.ask(
        f"The body at turn {turn} of the agenda needs an exposure of {seconds} seconds; arrange it.",
        f"Expose the body observed at turn {turn} of the agenda for {seconds} seconds.",
        answer="done",
    )
