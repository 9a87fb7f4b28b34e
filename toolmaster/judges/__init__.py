"""Models that are asked for JSON: judges, whose verdicts are kept, and others."""
