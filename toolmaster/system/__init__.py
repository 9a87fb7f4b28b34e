"""Processes, threads, memory, and packages that may be missing."""
