"""What crosses a process border: templates, XML bodies, the XML-RPC codec, driver messages, the client.

Knows no database, no state machine, no driver.  Everything else may import it; it imports nothing of onecore.
"""
