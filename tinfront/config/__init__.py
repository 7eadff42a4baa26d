"""The INI file: option rows, the loader that reports every error at once, and the frozen model. No Twisted."""
