"""Hands on the hosts: transfer, VM, network, datastore and information drivers, and the processes that run them.

Imports onecore.wire and nothing else of onecore: a driver knows no table and no state machine.
"""
