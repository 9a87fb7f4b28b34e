"""Invented words: endless, pronounceable, and consistent inside a state."""

import random

from toolmaster.world import World
from toolmaster.world.lexicon import (
    ENDINGS,
    WORDS,
    invented,
    long_words,
    new_names,
    outside,
    renamed,
    reworded,
    with_ending,
)
from toolmaster.world.surface import VERBS


def test_words_are_plentiful_and_plain():
    words = [invented(random.Random(seed)) for seed in range(2000)]
    assert len(set(words)) > 1500
    assert all(word.isalpha() and word.islower() for word in words)


def test_endings_by_hand():
    pairs = [("bottle", "ing"), ("bottle", "s"), ("candle", "y"), ("lamp", "age"), ("sage", "ful")]
    words = ["bottling", "bottles", "candly", "lampage", "sageful"]
    assert [with_ending(*pair) for pair in pairs] == words


def test_words_of_unseen_domains_are_not_drawn():
    unseen = {verb for verbs in VERBS["unseen"].values() for verb in verbs}
    for domain in World().domains.values():
        if domain.split == "unseen":
            for tool in domain.tools.values():
                unseen |= {*tool.nouns, *long_words(tool.doc)}
                unseen |= {name for kind in tool.params.values() for name in kind.names}
    real = {*WORDS, *(with_ending(word, ending) for word in WORDS for ending in ENDINGS)}
    assert not unseen & real
    rng = random.Random(0)
    drawn = [outside(rng) for _ in range(10_000)]
    assert 0.4 < sum(word in real for word in drawn) / len(drawn) < 0.6
    assert 0.3 < sum(word in WORDS for word in drawn) / len(drawn) < 0.4
    assert len(set(drawn)) > 6000


def test_rewording_by_hand():
    words = {"price": "gravel", "dollars": "wuns", "rye": "oat"}
    text = 'Price in dollars of "price dollars": what price, Prices of rye?'
    assert reworded(text, words) == (
        'Gravel in wuns of "price dollars": what gravel, Prices of rye?'
    )
    assert reworded(text, {}) == text
    assert long_words(text) == {"price", "dollars", "what", "prices"}


def test_renaming_reaches_keys_values_and_lists():
    state = {
        "table": {"Rye Loaf": {"next": "Oat Bun", "price": 4.5}, "Oat Bun": {}},
        "row": ["Oat Bun"],
    }
    names = {"Rye Loaf": "Plor Tink", "Oat Bun": "Vea Sok"}
    assert renamed(state, names) == {
        "table": {"Plor Tink": {"next": "Vea Sok", "price": 4.5}, "Vea Sok": {}},
        "row": ["Vea Sok"],
    }


def test_new_names_are_distinct():
    old = [f"Name {letter}" for letter in "ABCDEFGH"]
    names = new_names(old, random.Random(3))
    assert list(names) == old
    assert len(set(names.values())) == len(old)
    assert not set(names.values()) & set(old)


def test_only_seen_tasks_are_renamed():
    world = World()

    def entities(split, domain):
        tasks = [world.draw(f"v5/{split}/{domain}/plain/{n}").task for n in range(60)]
        return [set(next(iter(task.make_tools().state.values()))) for task in tasks]

    ours = {
        word for names in entities("unseen", "harbor") for name in names for word in name.split()
    }
    assert len(ours) <= 40
    theirs = {
        word for names in entities("seen", "bakery") for name in names for word in name.split()
    }
    assert len(theirs) > 150
