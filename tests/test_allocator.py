"""What is given back between the stages of a run."""

import torch

from toolmaster.allocator import release


def test_what_was_compiled_for_a_stage_is_dropped_after_it():
    compiled = []

    def backend(module, _inputs):
        compiled.append(module)
        return module.forward

    double = torch.compile(lambda x: x * 2, backend=backend)
    for _ in range(2):
        assert double(torch.tensor(3)) == 6
    assert len(compiled) == 1
    release()
    assert double(torch.tensor(3)) == 6
    assert len(compiled) == 2
