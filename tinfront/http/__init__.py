"""RFC 9110, pure: messages, targets, dates, preconditions, status. No I/O, no clock of its own, no Twisted."""
