"""Trajectories for people: a self-contained HTML page, and the terminal."""
