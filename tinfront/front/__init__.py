"""The side that faces the internet: listeners, TLS, connections, exchanges, buffers, the access log."""
