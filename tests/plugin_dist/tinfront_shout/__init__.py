"""A filter for tinfront that raises its voice."""
