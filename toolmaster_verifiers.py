"""The name by which verifiers finds toolmaster's task sets: it takes no name with a dot in it."""

from toolmaster.adapters.verifiers import SessionEnv, SessionEnvConfig, Tasks

__all__ = ["SessionEnv", "SessionEnvConfig", "Tasks"]
