"""Measure a model on a task set: several rollouts per task, intervals, a breakdown by family.

python examples/evaluate_endpoint.py openai:NAME "world:short tasks=50" [results.jsonl]
"""

import sys

import toolmaster as tm

model, named, *rest = sys.argv[1:]
result = tm.evaluate(model, named, rollouts=2, out=rest[0] if rest else None)
print(result)
print("success:", result.success)
for family, part in result.by("family").items():
    print(f"{family:>14}: {part.success}")
