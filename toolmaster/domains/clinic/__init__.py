"""A clinic: patients with a dose, a pulse, a temperature and a ward, and the waiting list."""
