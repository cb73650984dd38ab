"""A demonstration for any configuration file, which also checks everything it shows."""

from apmatrix.emulation.demo.report import Check, Report
from apmatrix.emulation.demo.tour import tour

__all__ = ["Check", "Report", "tour"]
