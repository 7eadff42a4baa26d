"""Handlers that ship with tinfront, one file each. A handler answers an exchange."""
