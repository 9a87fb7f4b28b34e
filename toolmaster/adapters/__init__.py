"""Environments of other frameworks over toolmaster's sessions; each needs its framework."""
