"""Compare two evaluations of the same tasks, paired by task.

    python examples/compare_models.py a.jsonl b.jsonl

The files are what `toolmaster evaluate` and `tm.evaluate(..., out=FILE)` write.
"""

import sys

import toolmaster as tm

a, b = (tm.read_trajectories(file) for file in sys.argv[1:3])
print(tm.compare(a, b))
