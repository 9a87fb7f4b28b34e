"""A library: books with copies, a late fee, a section and a sequel, and a cart of returns."""
