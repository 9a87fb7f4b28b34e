"""A garage: cars with fuel, hours of work, a bay and a mechanic, and the queue for repair."""
