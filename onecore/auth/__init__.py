"""Who calls and what they may: passwords, tokens, sessions, ACL rules; authorize() is the only place that says yes."""
