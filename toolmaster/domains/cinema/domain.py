"""A cinema: its films, how they are rated, what a ticket costs, free seats, halls, the programme."""

from __future__ import annotations

import random

from toolmaster.world.domain import Amount, Domain, Name, Plan, Position, State, Word, names, number

TONES = (
    "Cosmic", "Deadly", "Fearless", "Haunted", "Infinite", "Savage", "Stolen", "Sudden",
    "Ultimate", "Wicked", "Phantom", "Royal", "Reckless", "Dangerous", "Lonely", "Magic",
    "Perfect", "Vanishing", "Neon", "Iron",
)  # fmt: skip
PLOTS = (
    "Heist", "Romance", "Sunset", "Detective", "Cowboy", "Robot", "Dancer", "Escape", "Gambler",
    "Stranger", "Avenger", "Melody", "Spy", "Wedding", "Witness", "Dragon", "Outlaw", "Zombie",
    "Wizard", "Duel",
)  # fmt: skip
HALLS = ("grand", "studio", "rooftop", "basement", "lounge")

FILM = Name(("film", "movie", "title", "feature", "picture", "production"))
PLACE = Position(("place", "position", "rank", "slot", "order"))

domain = Domain("cinema", "seen", "films with ratings, ticket prices, seats and halls; a programme")


@domain.state
def make_state(rng: random.Random) -> State:
    """Seven films, five of them on tonight's programme."""
    films = names(rng, TONES, PLOTS, 7)
    seats = rng.sample(range(3, 99), 7)
    ratings = rng.sample(range(100, 1000), 7)
    return {
        "films": {
            film: {
                "rating": ratings.pop() / 100,
                "ticket": rng.randint(350, 2499) / 100,
                "seats": seats.pop(),
                "hall": rng.choice(HALLS),
            }
            for film in films
        },
        "programme": rng.sample(films, 5),
    }


@domain.read("rating", "score", "grade", "review", doc="Rating of a film by viewers, best is 10",
             returns=Amount(), film=FILM)  # fmt: skip
def rating(state: State, film: str) -> float:
    """What viewers think of a film."""
    return number(state["films"][film]["rating"])


@domain.read("ticket", "fare", "entrance", "price", doc="Price of a ticket for a film in dollars",
             returns=Amount(), film=FILM)  # fmt: skip
def ticket(state: State, film: str) -> float:
    """What a ticket costs, in dollars."""
    return number(state["films"][film]["ticket"])


@domain.read("seats", "vacancy", "capacity", "availability", doc="Free seats for a film",
             returns=Amount(), film=FILM)  # fmt: skip
def seats(state: State, film: str) -> float:
    """How many seats are free."""
    return number(state["films"][film]["seats"])


@domain.read("hall", "room", "screen", "auditorium", doc="Hall where a film is shown",
             returns=Word(), film=FILM)  # fmt: skip
def hall(state: State, film: str) -> str:
    """Where a film is shown."""
    return str(state["films"][film]["hall"])


@domain.read("programme", "lineup", "playlist", "evening", doc="Film at a place of the programme",
             returns=Name(), place=PLACE)  # fmt: skip
def shown(state: State, place: int) -> str:
    """Which film runs at a place of the programme, counted from 1."""
    return str(state["programme"][place - 1])


@domain.write("booking", "sale", "reservation", "seating", doc="Set the number of free seats for a film",
              shown_by="seats", value="free", film=FILM,
              free=Amount(("free", "seats", "count", "number", "remaining")))  # fmt: skip
def set_seats(state: State, film: str, free: float) -> None:
    """Set how many seats are free."""
    state["films"][film]["seats"] = free


@domain.write("ticketing", "pricing", "cashdesk", "offer", doc="Set the ticket price of a film in dollars",
              shown_by="ticket", value="dollars", film=FILM,
              dollars=Amount(("dollars", "price", "amount", "cost", "fare")))  # fmt: skip
def set_ticket(state: State, film: str, dollars: float) -> None:
    """Set what a ticket costs, in dollars."""
    state["films"][film]["ticket"] = dollars


@domain.write("venue", "theater", "screening", "assignment", doc="Move a film to another hall",
              shown_by="hall", value="where", film=FILM,
              where=Word(("where", "hall", "room", "venue", "destination")))  # fmt: skip
def set_hall(state: State, film: str, where: str) -> None:
    """Move a film to a hall."""
    state["films"][film]["hall"] = where


@domain.goal
def ask_rating(plan: Plan) -> None:
    """One read of a number."""
    [film] = plan.pick("films")
    plan.ask(
        f"What rating does {film} have?",
        f"How do viewers rate {film}? Give me the number.",
        f"Is {film} any good? Tell me its rating.",
        answer=plan.do("rating", film=film),
    )


@domain.goal
def ask_hall(plan: Plan) -> None:
    """One read of a word."""
    [film] = plan.pick("films")
    plan.ask(
        f"In which hall is {film} shown?",
        f"I have a ticket for {film}. Which hall is it?",
        answer=plan.do("hall", film=film),
    )


@domain.goal
def enough_seats(plan: Plan) -> None:
    """One read, compared with a number of the query."""
    [film] = plan.pick("films")
    group = plan.rng.randint(20, 80)
    free = plan.do("seats", film=film)
    fits = free >= group
    plan.ask(
        f"We are {group} people. Are there enough free seats for {film}? Answer yes or no.",
        f"Yes or no: can a group of {group} still get seats for {film}?",
        answer="yes" if fits else "no",
        because=f"{free} is {'not ' if fits else ''}less than {group}",
    )


@domain.goal
def better_of_programme(plan: Plan) -> None:
    """Two chains and a comparison of decimals."""
    first, second = plan.rng.sample(range(1, 6), 2)
    one, two = plan.do("shown", place=first), plan.do("shown", place=second)
    left, right = plan.do("rating", film=one), plan.do("rating", film=two)
    plan.ask(
        f"Which film is rated higher, the one at place {first} of the programme or the one at place {second}?",
        f"Compare the films at places {first} and {second} of the programme: which has the higher rating?",
        answer=one if left > right else two,
        because=f"{max(left, right)} is more than {min(left, right)}",
    )


@domain.goal
def price_on_programme(plan: Plan) -> None:
    """A chain from a position to a number."""
    place = plan.rng.randint(2, 5)
    film = plan.do("shown", place=place)
    plan.ask(
        f"How many dollars is a ticket for the film at place {place} of the programme?",
        f"I want to see the film at place {place} of the programme. What does a ticket cost in dollars?",
        answer=plan.do("ticket", film=film),
    )


@domain.goal
def on_programme(plan: Plan) -> None:
    """One read by position."""
    place = plan.rng.randint(2, 5)
    plan.ask(
        f"Which film is at place {place} of the programme?",
        f"What do you show at place {place} of tonight's programme?",
        answer=plan.do("shown", place=place),
    )


@domain.goal
def update_seats(plan: Plan) -> None:
    """One write."""
    [film] = plan.pick("films")
    free = plan.whole_number()
    plan.do("set_seats", film=film, free=free)
    plan.ask(
        f"There are now {free} free seats for {film}; update the system.",
        f"Set the free seats for {film} to {free}.",
        answer="done",
    )


@domain.goal
def same_ticket(plan: Plan) -> None:
    """A read whose result is then written elsewhere."""
    source, target = plan.pick("films", 2)
    plan.do("set_ticket", film=target, dollars=plan.do("ticket", film=source))
    plan.ask(
        f"Sell tickets for {target} at the price of {source}.",
        f"A ticket for {target} should cost the same as one for {source}. Change it.",
        answer="done",
    )


@domain.goal
def change_hall(plan: Plan) -> None:
    """A chain that ends in a write of a word."""
    place = plan.rng.randint(2, 5)
    film = plan.do("shown", place=place)
    now = plan.state["films"][film]["hall"]
    where = plan.rng.choice([name for name in HALLS if name != now])
    plan.do("set_hall", film=film, where=where)
    plan.ask(
        f"Move the film at place {place} of the programme to the {where} hall.",
        f"The film at place {place} of the programme has to run in the {where} hall instead.",
        answer="done",
    )
