"""Names of the public API; `__init__.py` loads each one when it is first used."""

from .agent import Agent
from .errors import ToolmasterError
from .evaluation.comparison import Comparison, compare
from .evaluation.evaluate import aevaluate, evaluate
from .evaluation.evaluation import Evaluation
from .evaluation.intervals import Interval
from .experience import Experience, ExperienceStore
from .limits import Budget, BudgetSettings, Limits
from .policies.base import EndpointSettings, Policy, Sampling
from .policies.loading import load_policy
from .policies.scripted import ScriptedPolicy
from .protocols import Protocol
from .rewards import PhaseReward
from .rewards.judge import judge
from .rollouts import arollout, rollout
from .runs import read_trajectories
from .tasksets import FollowUp, Task, Taskset, mix, taskset
from .teacher.demonstrations import ademonstrate, demonstrate
from .teacher.propose import apropose, propose
from .tools import Tool, ToolRefusal, ToolSet, from_function, from_object, tool
from .tools.permissions import AllowAll, Ask, PermissionRules
from .tools.sources import open_sources
from .training.grpo import grpo
from .training.sft import sft
from .types import Effect, Phase, Score, Step, ToolCall, Trajectory

__version__: str

__all__ = [
    "Agent",
    "AllowAll",
    "Ask",
    "Budget",
    "BudgetSettings",
    "Comparison",
    "Effect",
    "EndpointSettings",
    "Evaluation",
    "Experience",
    "ExperienceStore",
    "FollowUp",
    "Interval",
    "Limits",
    "PermissionRules",
    "Phase",
    "PhaseReward",
    "Policy",
    "Protocol",
    "Sampling",
    "Score",
    "ScriptedPolicy",
    "Step",
    "Task",
    "Taskset",
    "Tool",
    "ToolCall",
    "ToolRefusal",
    "ToolSet",
    "ToolmasterError",
    "Trajectory",
    "__version__",
    "ademonstrate",
    "aevaluate",
    "apropose",
    "arollout",
    "compare",
    "demonstrate",
    "evaluate",
    "from_function",
    "from_object",
    "grpo",
    "judge",
    "load_policy",
    "mix",
    "open_sources",
    "propose",
    "read_trajectories",
    "rollout",
    "sft",
    "taskset",
    "tool",
]
