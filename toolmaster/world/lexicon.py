"""Words from outside the domains: some hundred real ones and an endless supply of invented ones.

A model that meets a few hundred names in training learns the names; one that meets a new name in
every task learns to copy. Tasks of the seen split therefore put such words in the place of entity
names, tool verbs and nouns and parameter names, each with a chance of one half. Unseen tasks use
their own words, none of which is in here.
"""

from __future__ import annotations

import random
from typing import Any

_ONSETS = "b br c ch cl d dr f fl g gr h j k l m n p pl qu r s sh st t th tr v w y z".split()
_VOWELS = "a e i o u ai ea ee ia io oa ou".split()
_CODAS = ["", "", "", *"b ck d l m n nd ng r rt s sk t th x".split()]


WORDS = tuple(
    """
    acorn alarm almond anchor angle ankle apron arrow ash aspen atlas attic autumn axis badge bagel
    balcony balloon bamboo banner barrel basin basket bead beak bench berry birch blanket blaze
    blossom bolt bonnet border bottle bowl bracelet branch breeze brick bridge brook brush bubble
    bucket buckle bundle butter button cabin cable cactus candle canyon cape carpet castle cedar
    cello chain chalk charm chess chestnut chimney cinder circle cliff cloak coat coffee coin
    compass corner cotton crater crayon cricket crown crystal cup curtain cushion dagger daisy dawn
    delta desert dial diamond door dragon drum dune dusk eagle easel echo elbow elm ember engine
    envelope fabric falcon feather fence fern fiddle filter finger fjord flame flask flute foam fog
    forest fossil fountain fox frame frost garden garlic garnet gate gift ginger glacier glass
    globe glove grain granite grape gravel grove guitar gust hammer harp harvest hazel helmet heron
    honey horn hourglass ice icicle igloo island ivy jacket jelly jewel jigsaw jungle kettle key
    kite knot label lace ladder lake lamp lantern latch laurel lava leaf ledge lemon lever lilac
    lily linen lock locket loom lotus lute magnet mango mantle maple marble mask meadow melon mill
    mirror mist mitten mosaic moss motor mountain mural needle night noodle oak oasis ocean olive
    onyx opal orbit orchid otter owl paddle palm panel paper parade parcel parrot path pebble
    pencil pepper petal piano pillar pillow pine planet plaza plum pocket pollen pond poppy pottery
    powder prairie prism pumpkin puppet puzzle quarry quartz quill quilt rabbit radar radish raft
    rain ramp raven ribbon ridge ring river rocket rope rose ruby rudder saddle saffron sail salt
    sand sapphire satin scarf school scroll seed shadow shell shield shore silk silver sketch
    sleeve slope smoke snow sofa spark sparrow spice spider spiral sponge spring spruce statue
    steam stone storm straw stream summit sun swamp swan sword table tango teapot temple tent
    thimble thread throne thunder ticket tide tiger timber tinsel torch tower trail treasure
    trumpet tulip tunnel turnip turtle twig umbrella urn valley vase vault velvet violin vine
    volcano wagon walnut water wave wheel whistle willow window wing winter wolf wool wreath yarn
    zephyr
    """.split()
)


def outside(rng: random.Random) -> str:
    """A lower-case word of no domain: a real one or an invented one."""
    return rng.choice(WORDS) if rng.random() < 0.5 else invented(rng)


def invented(rng: random.Random) -> str:
    """A pronounceable lower-case word of one to three syllables, such as "plorin"."""
    count = rng.choice((1, 2, 2, 3))
    word = "".join(rng.choice(_ONSETS) + rng.choice(_VOWELS) for _ in range(count))
    return word + rng.choice(_CODAS)


def renamed(state: Any, names: dict[str, str]) -> Any:
    """A JSON-like state in which every text that is a key of `names` is replaced."""
    if isinstance(state, dict):
        return {names.get(key, key): renamed(value, names) for key, value in state.items()}
    if isinstance(state, list):
        return [renamed(value, names) for value in state]
    return names.get(state, state) if isinstance(state, str) else state


def new_names(names: list[str], rng: random.Random) -> dict[str, str]:
    """A different two-word name, of words from outside, for each of `names`."""
    drawn: dict[str, str] = {}
    for name in names:
        new = name
        while new == name or new in drawn.values():
            new = f"{outside(rng).capitalize()} {outside(rng).capitalize()}"
        drawn[name] = new
    return drawn
