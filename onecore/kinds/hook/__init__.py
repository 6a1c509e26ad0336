"""Hooks: programs that run when something happened, outside of oned, at least once, in order for each object."""
from onecore.kinds.hook import methods
from onecore.kinds.hook.record import HOOK, Hook

__all__ = ["HOOK", "Hook", "methods"]
