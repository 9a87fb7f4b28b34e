"""Models at endpoints that are asked for JSON, such as judges, and the cache of their responses."""
