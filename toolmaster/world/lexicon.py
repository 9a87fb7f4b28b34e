"""Words from outside the domains: real ones, with and without endings, and invented ones.

A model that meets a few hundred names in training learns the names; one that meets a new name in
every task learns to copy. Tasks of the seen split therefore put such words in the place of entity
names, tool verbs and nouns and parameter names, and of what documentation and requests are about,
each with a chance of one half. Unseen tasks use their own words, none of which is in here.
"""

from __future__ import annotations

import random
import re
from collections.abc import Mapping
from typing import Any

_ONSETS = "b br c ch cl d dr f fl g gr h j k l m n p pl qu r s sh st t th tr v w y z".split()
_VOWELS = "a e i o u ai ea ee ia io oa ou".split()
_CODAS = ["", "", "", *"b ck d l m n nd ng r rt s sk t th x".split()]
ENDINGS = "s ed ing er ling ment ness ship age ful less let y al ation ive ware".split()
_ENDING_SHARE = 0.3

WORDS = tuple(
    """
    above absent accent access acorn adapter admiral adult advice agent alarm algebra alley almond
    alpha ample angle animal ankle antenna appeal apron arcade arena argument armor array arrow
    article artist ash aspect aspen asset athlete atlas atom attic author autumn award axis axle
    badge bagel baker balcony ballad balloon bamboo banana bandit bankrupt banner bargain baron
    barrel basil basin basket battery battle bead beak beaver beetle belief bench benefit berry
    bicycle binary birch biscuit bishop blank blanket blaze blind blossom blue board boast bold bolt
    bonnet bonus boost boot border bottle boulder bounce bowl bracelet brain branch brave bread
    breeze brick bridge broad brook brother brown brush bubble bucket buckle budget buffalo builder
    bulb bullet bundle bunker burst butter button cabbage cabin cable cactus camel campus canal
    candid candle canvas canyon cape captain carbon career carpet carrot cartoon castle catalog
    cause caution cave cedar celery cello cement center century ceremony chain chair chalk champion
    chance channel chaos chapter charcoal charm chase cheese chef cherry chess chestnut chicken
    child chime chimney chin chocolate chorus church cigar cinder circle citizen city civil claim
    clarinet class clay clever client cliff climate clinic cloak clock club coach coat coconut code
    coffee coin collar college comedy comfort comic company compass concert cone content contract
    cookie corner corridor costume cottage cotton couch council country couple courage court cousin
    cover crater crayon creature credit cricket crisp critic cross crowd crown cruise crystal cube
    culture cup current curtain curve cushion custom cycle cylinder dagger daisy dance danger data
    date daughter dawn debate decade decimal deck decoy deer degree delta denim dentist desert
    design detail device dial diamond diary diesel digit dinner diploma dirt disc dish ditch doctor
    dollar dolphin donkey door dose double dough dozen draft dragon drama dream dress drift drill
    drink drop drum duck dune dusk duty eager eagle early earth easel east echo editor effect effort
    elastic elbow elder elegant element elephant elite elm ember empire empty engine engineer enigma
    entry envelope episode errand essay estate ethics event evidence exam exhibit exit expert export
    extra eyebrow fabric face factor faith falcon fame fancy farewell fashion father favor feast
    feather fellow fence fern festival fever fiction fiddle fierce fifty fig film filter final
    finger fire fish fjord flag flame flask flat flavor flight flood flower fluid flute foam focus
    fog fold folk force forest formal fortune forum fossil fountain fox frame freedom freight fresh
    friend frost fruit fudge funnel gadget gallop game gang gap garage garden garlic garnet gas gate
    gazelle gender genius gentle ghost gift ginger giraffe glacier glad glass globe glory glove goat
    gold golf grace grade grain grammar grand granite grape graph grass gravel gravity green grid
    grocery ground group grove guest guide guitar gulf gust habit hair half hall hammer hard harmony
    harp harvest hat hawk hazard hazel head health heart heat heavy hedge height helmet hero heron
    hidden highway hill history hobby holiday honey honor hope horn horse host hotel hourglass house
    human humble hundred hunter hurdle hybrid ice icicle icon idea ideal igloo image impact impulse
    infant inner insect instant invite iron island ivy jacket jaguar jazz jeans jelly jewel jigsaw
    journal journey joy judge juice jump jungle junior jury justice karate keeper kernel kettle key
    kid kidney king kingdom kiosk kitchen kite kitten knee knight knot label labor lace ladder lake
    lamb lamp land language lantern large laser latch laugh laurel lava law lawn layer leader leaf
    league lean leather ledge legal legend leisure lemon lesson letter level lever liberty license
    light lilac lily limit linen lion liquid little lizard lobby local lock locket logic lonely loom
    loop lottery lotus loud lounge loyal lucky lumber lunch lute luxury lyric machine magic magnet
    mail major mango mantle manual maple marble march margin market marvel mask master match meadow
    medal medium melon member memory mentor menu mercy merit message method middle mild milk mill
    million mineral minor minute mirror mist mitten mobile model modern moment money monkey month
    moral morning mosaic moss motion motor mountain mouse mouth movie mural muscle museum music
    mustard mystery myth narrow nation native nature neat neck needle nephew nerve network neutral
    night noble noise noodle normal north nose novel nurse nylon oak oasis object ocean offer office
    olive onion onyx opal opera option oral orange orbit orchid order organ otter outfit outlet oven
    owl owner oxygen oyster pace packet paddle page pain pair palace palm pancake panda panel panic
    paper parade parcel parent park parrot partner party passage past patch patent path pause peace
    peanut pear pebble pedal penalty pencil penguin people pepper perfect permit petal phase phone
    phrase piano picnic picture piece pigeon pillar pillow pinch pine pipe pistol pitch pixel pizza
    plain plane planet plastic play plaza plug plum plural pocket poem poet policy polite pollen
    polo pond pony pool poppy popular portal post potato pottery pound powder power prairie praise
    prefix price pride prince print prism prison prize profit program proof proud public pulse pump
    pumpkin punch pupil puppet purple purse puzzle pyramid quality quarry quartz quest quick quiet
    quill quilt quiz rabbit race rack radar radio radish raft rain ramp rapid rare rate ratio raven
    razor reason rebel recipe record region regret relay relic remedy rent report rescue reserve
    resort reward rhythm ribbon rice rich ridge rifle rigid ring ripple ritual rival river road
    robot robust rocket romance roof room root rope rose route royal rubber ruby rudder rugby rule
    rural saddle safe saffron salad salmon salon salt sand sapphire satin sauce sausage scale scarf
    scene school science scout scrap screen script scroll sculpture season secret sector seed senior
    sense series service shade shadow shallow shape share sharp sheep shelf shell sheriff shield
    shift shirt shock shore short shoulder shrimp sibling siege signal silk silver simple single
    sister sketch skill skin skirt skull slang sleep sleeve slice slide slogan slope slow small
    smart smile smooth snow social sofa soft solar soldier solid solo song sort soul soup south
    space spare spark sparrow speaker special speed spell sphere spice spider spike spiral spirit
    sponge sport spring spruce square squirrel stable stadium staff stage stair stamp standard
    station statue status steak steam stem stereo stick still stock stomach stone storm story stove
    strategy straw stream street strike strong studio style subject suburb subway sugar suit summit
    sun sunset super supply surface surprise swamp swan swift switch sword symbol system table
    tactic tail talent tango task taste tax taxi teacher team teapot temple tennis tent term texture
    theater theme theory thick thimble thin third thirty thought thread throne thunder ticket tide
    tiger timber tinsel tiny tissue title toast token tomato tone tongue tool topic torch touch
    tough tourist tower town toy track trade traffic trail train trap travel treasure treaty tree
    trend trial tribe trick trip trophy trouble truck trumpet trust truth tube tulip tuna tunnel
    turkey turnip turtle tutor twelve twig type typical umbrella uncle uniform union unique unit
    upper urban urn useful usual vacuum valid valley valuable vapor variety vase vast vault vector
    vehicle velvet venture verb verse veteran victim victory video view village vine vinegar violin
    virtue virus visit visual vital vivid vocal voice volcano volume voyage wage wagon waist waiter
    wallet walnut warm warrior wash waste watch water wave wealth weapon weather wedding weekend
    weight welcome west wheat wheel whistle white whole wide wife wild willow win window wine wing
    winter wisdom wise wish witness wolf wonder wood wool work worth wreath wrist writer yard yarn
    year yellow young youth zebra zephyr zero zone
    """.split()
)


def outside(rng: random.Random) -> str:
    """A lower-case word of no domain: invented, or real, then now and again with an ending."""
    if rng.random() < 0.5:
        return invented(rng)
    word = rng.choice(WORDS)
    return with_ending(word, rng.choice(ENDINGS)) if rng.random() < _ENDING_SHARE else word


def with_ending(word: str, ending: str) -> str:
    """A word with an ending, without the "e" that a vowel drops: "bottling" of "bottle"."""
    return (word.removesuffix("e") if ending[0] in "aeiy" else word) + ending


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


_LONG = re.compile(r'"[^"]*"|[A-Za-z]{4,}')
"""What `reworded` may replace, and what it must step over."""


def long_words(text: str) -> set[str]:
    """The words of four letters and more outside quotation marks, in lower case."""
    return {found.lower() for found in _LONG.findall(text) if found[0] != '"'}


def reworded(text: str, words: Mapping[str, str]) -> str:
    """A text with other long words; what stands in quotation marks, and capitals, stay."""

    def other(match: re.Match[str]) -> str:
        old = match[0]
        new = words.get(old.lower(), old)
        return new.capitalize() if old[0].isupper() else new

    return _LONG.sub(other, text) if words else text
