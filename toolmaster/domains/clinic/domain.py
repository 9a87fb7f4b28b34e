"""A clinic: its patients, their doses, pulses, temperatures and wards, and the waiting list."""

from __future__ import annotations

import random

from toolmaster.world.domain import Amount, Domain, Name, Plan, Position, State, Word, names, number

FIRST = (
    "Alma", "Bruno", "Celia", "Diego", "Edith", "Felix", "Greta", "Hugo", "Irene", "Jonas",
    "Klara", "Leo", "Mira", "Nils", "Olga", "Pablo", "Rosa", "Stefan", "Tilda", "Viktor",
)  # fmt: skip
LAST = (
    "Abbott", "Becker", "Castro", "Dalton", "Eriksen", "Fischer", "Grant", "Hansen", "Ibarra",
    "Jensen", "Keller", "Lorenz", "Moreau", "Novak", "Ortega", "Petrov", "Quinn", "Rossi",
    "Santos", "Turner",
)  # fmt: skip
WARDS = ("surgery", "dental", "maternity", "trauma", "cardiology", "pediatrics")

PATIENT = Name(("patient", "person", "name", "client", "who", "case"))
PLACE = Position(("place", "position", "rank", "order", "seat"))

domain = Domain(
    "clinic", "seen", "patients with doses, pulses, temperatures, wards; a waiting list"
)


@domain.state
def make_state(rng: random.Random) -> State:
    """Seven patients, five of them on the waiting list."""
    patients = names(rng, FIRST, LAST, 7)
    pulses = rng.sample(range(45, 99), 7)
    temperatures = rng.sample(range(3550, 4050), 7)
    return {
        "patients": {
            patient: {
                "dose": rng.randint(25, 999) / 100,
                "pulse": pulses.pop(),
                "temperature": temperatures.pop() / 100,
                "ward": rng.choice(WARDS),
            }
            for patient in patients
        },
        "waiting": rng.sample(patients, 5),
    }


@domain.read("dose", "medication", "drug", "prescription", doc="Daily dose of a patient in milligrams",
             returns=Amount(), patient=PATIENT)  # fmt: skip
def dose(state: State, patient: str) -> float:
    """How much a patient takes a day, in milligrams."""
    return number(state["patients"][patient]["dose"])


@domain.read("pulse", "heartbeat", "heart", "beats", doc="Pulse of a patient in beats per minute",
             returns=Amount(), patient=PATIENT)  # fmt: skip
def pulse(state: State, patient: str) -> float:
    """The pulse last measured, in beats per minute."""
    return number(state["patients"][patient]["pulse"])


@domain.read("temperature", "fever", "thermometer", "celsius", doc="Temperature of a patient in degrees Celsius",
             returns=Amount(), patient=PATIENT)  # fmt: skip
def temperature(state: State, patient: str) -> float:
    """The temperature last measured, in degrees Celsius."""
    return number(state["patients"][patient]["temperature"])


@domain.read("ward", "department", "unit", "station", doc="Ward where a patient is treated",
             returns=Word(), patient=PATIENT)  # fmt: skip
def ward(state: State, patient: str) -> str:
    """Where a patient is treated."""
    return str(state["patients"][patient]["ward"])


@domain.read("waitlist", "patients", "lobby", "reception", doc="Patient at a place of the waiting list",
             returns=Name(), place=PLACE)  # fmt: skip
def waiting(state: State, place: int) -> str:
    """Which patient is at a place of the waiting list, counted from 1."""
    return str(state["waiting"][place - 1])


@domain.write("therapy", "treatment", "dosage", "medicine", doc="Set the daily dose in milligrams",
              shown_by="dose", value="milligrams", patient=PATIENT,
              milligrams=Amount(("milligrams", "dose", "amount", "strength", "daily")))  # fmt: skip
def set_dose(state: State, patient: str, milligrams: float) -> None:
    """Set how much a patient takes a day, in milligrams."""
    state["patients"][patient]["dose"] = milligrams


@domain.write("vitals", "measurement", "chart", "reading", doc="Note the pulse in beats per minute",
              shown_by="pulse", value="beats", patient=PATIENT,
              beats=Amount(("beats", "pulse", "frequency", "measured", "number")))  # fmt: skip
def set_pulse(state: State, patient: str, beats: float) -> None:
    """Note the pulse, in beats per minute."""
    state["patients"][patient]["pulse"] = beats


@domain.write("admission", "transfer", "referral", "bed", doc="Move a patient to another ward",
              shown_by="ward", value="target", patient=PATIENT,
              target=Word(("ward", "department", "destination", "unit", "station")))  # fmt: skip
def admit(state: State, patient: str, target: str) -> None:
    """Move a patient to a ward."""
    state["patients"][patient]["ward"] = target


@domain.goal
def ask_pulse(plan: Plan) -> None:
    """One read of a number."""
    [patient] = plan.pick("patients")
    plan.ask(
        f"What is the pulse of {patient} in beats per minute?",
        f"I need the pulse of {patient}.",
        f"How fast does the heart of {patient} beat, in beats per minute?",
        answer=plan.do("pulse", patient=patient),
    )


@domain.goal
def ask_ward(plan: Plan) -> None:
    """One read of a word."""
    [patient] = plan.pick("patients")
    plan.ask(
        f"I am here to visit {patient}. Which ward is it?",
        f"On which ward is {patient} treated?",
        answer=plan.do("ward", patient=patient),
    )


@domain.goal
def who_waits(plan: Plan) -> None:
    """One read by position."""
    place = plan.rng.randint(2, 5)
    plan.ask(
        f"Who is at place {place} of the waiting list?",
        f"Name the patient at place {place} of the waiting list.",
        answer=plan.do("waiting", place=place),
    )


@domain.goal
def compare_temperatures(plan: Plan) -> None:
    """Two reads of decimals and a comparison."""
    one, two = plan.pick("patients", 2)
    left, right = plan.do("temperature", patient=one), plan.do("temperature", patient=two)
    plan.ask(
        f"Whose temperature is higher, that of {one} or that of {two}?",
        f"Who is running the higher temperature, {one} or {two}?",
        answer=one if left > right else two,
        because=f"{max(left, right)} is more than {min(left, right)}",
    )


@domain.goal
def dose_of_waiting(plan: Plan) -> None:
    """A chain from a position to a number."""
    place = plan.rng.randint(2, 5)
    patient = plan.do("waiting", place=place)
    plan.ask(
        f"How many milligrams a day does the patient at place {place} of the waiting list take?",
        f"What is the daily dose, in milligrams, of the patient at place {place} of the waiting list?",
        answer=plan.do("dose", patient=patient),
    )


@domain.goal
def note_pulse(plan: Plan) -> None:
    """One write."""
    [patient] = plan.pick("patients")
    beats = plan.whole_number()
    plan.do("set_pulse", patient=patient, beats=beats)
    plan.ask(
        f"I measured a pulse of {beats} beats per minute for {patient}; please note it.",
        f"Set the pulse of {patient} to {beats} beats per minute.",
        answer="done",
    )


@domain.goal
def same_dose(plan: Plan) -> None:
    """A read whose result is then written elsewhere."""
    source, target = plan.pick("patients", 2)
    plan.do("set_dose", patient=target, milligrams=plan.do("dose", patient=source))
    plan.ask(
        f"{target} should get the same daily dose as {source}.",
        f"Change the daily dose of {target} to that of {source}.",
        answer="done",
    )


@domain.goal
def admit_with_dose(plan: Plan) -> None:
    """Two writes of different things."""
    [patient] = plan.pick("patients")
    now = plan.state["patients"][patient]["ward"]
    target = plan.rng.choice([ward for ward in WARDS if ward != now])
    milligrams = plan.rng.randint(25, 999) / 100
    plan.do("admit", patient=patient, target=target)
    plan.do("set_dose", patient=patient, milligrams=milligrams)
    plan.ask(
        f"Move {patient} to the {target} ward and set the daily dose to {milligrams} milligrams.",
        f"{patient} goes to the {target} ward and from now on gets {milligrams} milligrams a day.",
        answer="done",
    )
