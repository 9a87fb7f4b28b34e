"""What a teacher is told, and what not."""

import pytest

from toolmaster.protocols import Protocol, find_form
from toolmaster.teacher.prompt import teacher_instruction
from toolmaster.teacher.settings import Behaviours


def told(protocol, **behaviours):
    return teacher_instruction(protocol, Behaviours(**behaviours), 5)


@pytest.mark.parametrize("protocol", list(Protocol))
def test_what_each_protocol_asks_for(protocol):
    text = told(protocol)
    for part in (
        "Plan first",
        "Check every step",
        "another tool",
        "from the tools only",
        "Stop as",
    ):
        assert part in text
    explores = protocol is not Protocol.DIRECT
    assert ("Explore before you act. This is not optional" in text) is explores
    assert ("Do not try tools out" in text) is not explores
    assert ("<experience>" in text) is (protocol is Protocol.TRIAL)
    assert ("at most 5 calls" in text) is (protocol is Protocol.TRIAL)


@pytest.mark.parametrize("protocol", list(Protocol))
def test_ablations_leave_their_part_out(protocol):
    no_trial = told(protocol, trial=False)
    assert "Explore" not in no_trial
    assert ("<experience>none</experience>" in no_trial) is (protocol is Protocol.TRIAL)
    assert "Check every step" not in told(protocol, self_correction=False)


@pytest.mark.parametrize("protocol", list(Protocol))
def test_it_explains_the_form_itself(protocol):
    assert find_form(told(protocol)) == (None, told(protocol))
