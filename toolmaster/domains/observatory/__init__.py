"""An observatory: bodies with a magnitude, captures, a dwell and a quadrant, and the agenda."""
