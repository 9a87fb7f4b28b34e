"""A lending library: tools that declare no effect."""


class Library:
    """Books, members and loans."""

    def __init__(self):
        rows = (
            ("Dune", "Frank Herbert", 3),
            ("Emma", "Jane Austen", 2),
            ("Ulysses", "James Joyce", 1),
            ("Beloved", "Toni Morrison", 4),
        )
        self.books = {
            f"B{number}": {"title": title, "author": author, "copies": copies}
            for number, (title, author, copies) in enumerate(rows, 101)
        }
        self.loans = {"Ada": ["B101"], "Bo": ["B103"]}

    def list_books(self) -> list[dict]:
        """List all books with their ids and titles."""
        return [{"id": key, "title": book["title"]} for key, book in self.books.items()]

    def get_book(self, book_id: str) -> dict:
        """Get the details of a book."""
        return {"id": book_id, **self.books[book_id]}

    def list_loans(self, member: str) -> list[str]:
        """List the ids of the books that a member has borrowed, e.g. "Ada"."""
        return self.loans[member]

    def lend(self, member: str, book_id: str) -> str:
        """Lend a book to a member."""
        self.books[book_id]["copies"] -= 1
        self.loans.setdefault(member, []).append(book_id)
        return "lent"


def unlock(word: str) -> str:
    """Open the door."""
    if word != "mellon":
        raise ValueError("wrong word")
    return "the door is open"
