import random

from toolmaster.world.facts import Facts, _data


def test_what_does_not_matter_does_not_change_the_answer():
    facts, seen = Facts(), set()
    for name in facts.names("train"):
        for operation in facts.draw(name, random.Random(name)).operations.values():
            given = {param.name: param.kind.draw(random.Random(1)) for param in operation.params}
            idle = given.keys() & _data()["idle"].keys()
            short = {key: value for key, value in given.items() if key not in idle}
            assert operation.run({}, given) == operation.run({}, short)
            seen |= idle
    assert seen == _data()["idle"].keys()
