"""Quotas: how much the objects of a user, and of a group, may take together.

What they take is derived from the records (usage.py); limits.py says how much it may be; guard.py refuses transactions.
"""
