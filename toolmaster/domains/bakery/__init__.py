"""A bakery: products with a price, a stock and a counter, and the order of the display."""
