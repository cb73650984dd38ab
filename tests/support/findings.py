"""A file without a fault, to put one in, and what is then found."""

from __future__ import annotations

from typing import TYPE_CHECKING

from apmatrix.config import ConfigError, parse

if TYPE_CHECKING:
    from apmatrix.rules.findings import Finding

VALID = """\
[machine]
name = "m"
[[adapter]]
ids = "1,2"
type = "CEX8A"
[[lpar]]
name = "kvm1"
adapters = "1,2"
usage_domains = "5,6"
  [lpar.host]
  apmask = "-1,-2"
  [[lpar.guest]]
  name = "guest1"
  adapters = "1"
  domains = "5"
  [[lpar.guest]]
  name = "guest2"
  adapters = "2"
  domains = "6"
"""


def findings(text: str) -> tuple[Finding, ...]:
    """All findings of a text, also those that are no reason to refuse it."""
    try:
        return parse(text, "f.toml").findings
    except ConfigError as error:
        return error.findings
