raise LookupError("this site is broken on purpose")
