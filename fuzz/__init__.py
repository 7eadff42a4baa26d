"""Coverage-guided fuzzing of what reads hostile bytes: ``make fuzz``, or ``python -m fuzz --seconds 600 head``.

``targets`` says what must hold for any bytes, ``run`` lets atheris look for bytes for which it does not, and
``corpus/`` has a few to begin with; tests/test_fuzz.py replays them. What atheris finds worth keeping goes to
``fuzz/.work/``, and so does what breaks a target: mend that, and put the bytes into the corpus.
"""
