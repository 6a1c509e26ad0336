"""The command line: one program a kind (`onevm`, `onehost`, ...) and `onecore` for the daemons of this machine.

XML-RPC clients only: of onecore they import `onecore.wire`, and that, YAML and JSON only when a command needs them.
"""
