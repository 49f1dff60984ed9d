"""Other programs that envpack starts, and what confines them."""
