"""Who calls and what they may: passwords, tokens, sessions, ACL rules, and authorize(), the only place that says yes."""
