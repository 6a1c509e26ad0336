"""What only `onehost` has: its show, and looking after what is on hosts."""

ENABLE, DISABLE, OFFLINE = 0, 1, 2
"""Arguments of one.host.status."""
