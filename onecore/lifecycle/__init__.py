"""How things move: state machines as data, the outbox and its dispatcher, driver pipes, deadlines, the clock."""
