"""The rules of AP virtualization, as pure functions over values, for emulator, file checks and administrator alike.

A rule uses no lock, clock or log, and returns reasons instead of sentences: each caller has its own words. The order
of effects is the caller's, too. ``reference`` finds the written text of a rule by its ID. Builds on arch.
"""
