"""The commands of `oneuser` that are about sessions: keys and tokens."""
