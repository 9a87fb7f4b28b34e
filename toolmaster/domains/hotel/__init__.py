"""A hotel: suites with a rate, towels, a status and a door number, and the cleaning round."""
