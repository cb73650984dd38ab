"""Settings of all tests."""

from hypothesis import settings

# No test judges time: a slow machine must not make a test fail.
settings.register_profile("apmatrix", deadline=None)
settings.load_profile("apmatrix")
