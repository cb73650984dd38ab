"""Measurements, never assertions: ``make bench``. Every figure stands beside a yardstick of the same run."""
