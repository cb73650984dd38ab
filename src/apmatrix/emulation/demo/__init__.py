"""A demonstration on any configuration file: everything that is shown is checked too."""

from apmatrix.emulation.demo.report import Check, Report
from apmatrix.emulation.demo.tour import tour

__all__ = ["Check", "Report", "tour"]
