"""A cinema: films with a rating, a ticket price, free seats and a hall, and the programme."""
