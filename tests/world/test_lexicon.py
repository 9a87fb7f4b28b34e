"""Invented words: endless, pronounceable, and consistent inside a state."""

import random

from toolmaster.world import World
from toolmaster.world.lexicon import invented, new_names, renamed


def test_words_are_plentiful_and_plain():
    words = [invented(random.Random(seed)) for seed in range(2000)]
    assert len(set(words)) > 1500
    assert all(word.isalpha() and word.islower() for word in words)


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
        tasks = [world.draw(f"v4/{split}/{domain}/plain/{n}").task for n in range(60)]
        return [set(next(iter(task.make_tools().state.values()))) for task in tasks]

    ours = {
        word for names in entities("unseen", "harbor") for name in names for word in name.split()
    }
    assert len(ours) <= 40
    theirs = {
        word for names in entities("seen", "bakery") for name in names for word in name.split()
    }
    assert len(theirs) > 150
