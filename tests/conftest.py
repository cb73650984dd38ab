"""Settings of all tests."""

from hypothesis import settings

# No test judges time: a slow machine must not make a test fail. And each run tries the same examples, so that it says
# something about the change at hand; others are tried with --hypothesis-profile=explore.
settings.register_profile("apmatrix", deadline=None, derandomize=True)
settings.register_profile("explore", deadline=None)
settings.load_profile("apmatrix")
