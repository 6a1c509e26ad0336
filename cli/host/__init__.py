"""What only `onehost` has: its show, and looking after what is on hosts."""
