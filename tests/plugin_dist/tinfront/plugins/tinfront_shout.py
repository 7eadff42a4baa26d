"""What tinfront finds: the word, and where its filter is. There is no ``__init__.py`` beside this file."""

from tinfront.maker import FilterMaker

shout = FilterMaker("shout", "tinfront_shout.filter")
