"""RFC 9112 framing, sans-IO: bytes in, events out; answers in, bytes out. No socket, no clock, no Twisted."""
