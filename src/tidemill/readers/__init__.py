"""How published tables are read: from Python, and by those who ask for them."""
