"""The embedded world: simulated services, their hidden behaviours, and tasks over them."""
