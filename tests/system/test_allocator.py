"""What is given back between the stages of a run."""

import subprocess
import sys

import pytest
import torch

from toolmaster.system.allocator import release


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


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_kernels_for_many_shapes_do_not_pile_up():
    # oneDNN keeps about 1 MB for each shape: 150 MB for 128 of them in each of two caches.
    script = """
import subprocess
import sys

import pytest
import torch
from toolmaster.system.allocator import bound_kernels
bound_kernels()
def resident():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS")) / 1024
weight = torch.randn(64, 64, dtype=torch.bfloat16)
sizes = []
for rows in range(1, 901):
    torch.nn.functional.linear(torch.randn(rows, 64, dtype=torch.bfloat16), weight)
    if rows % 300 == 0:
        sizes.append(resident())
print(sizes[2] - sizes[0])
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert float(done.stdout) < 150
