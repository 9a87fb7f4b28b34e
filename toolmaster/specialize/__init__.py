"""Tasks for a user's own tools, generated from what the tools document and return."""
