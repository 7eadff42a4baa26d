"""An application that cannot be imported."""

raise ValueError("this app is broken on purpose")
