"""Hosts over SSH: one connection a host and process, kept, watched and made again; everything else rides on it."""
