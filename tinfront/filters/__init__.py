"""Filters that ship with tinfront, one file each. A filter sees a request, a response, or a body go by."""
