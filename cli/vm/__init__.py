"""The commands that only `onevm` has."""
