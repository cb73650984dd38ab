"""No text of any kind gives anything but a file or a ConfigError; every key has a line."""

import tomllib
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from apmatrix.config import ConfigError, MachineFile, parse
from apmatrix.config.places import Places

EXAMPLES = Path(__file__).parents[2] / "examples"
TEXT = (EXAMPLES / "three-guests.toml").read_text()
SCRAPS = st.sampled_from(
    ['"', "'''", '"""', "[", "]", "[[", "]]", "{", "}", "=", ".", ",", "\n", "#", "\\", "-", "0x", "9" * 400,
     "[[lpar.guest.guest]]", "[lpar]", "true", "nan", "1979-05-27 07:32:00", "lpar", "guest", "ids", "é", "\0"]
)  # fmt: skip


@st.composite
def mutations(draw):
    text = TEXT
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(text)))
        end = min(len(text), start + draw(st.integers(0, 40)))
        text = text[:start] + draw(SCRAPS | st.text(max_size=8) | st.just(text[start:end] * 2)) + text[end:]
    return text


def read(text):
    found: MachineFile | ConfigError
    try:
        found = parse(text, "f.toml")
    except ConfigError as error:
        found = error
    assert isinstance(found, MachineFile) or found.findings
    assert all(str(finding).startswith("f.toml") for finding in found.findings)
    return found if isinstance(found, MachineFile) else None


@given(mutations())
def test_a_mutated_file_is_a_file_or_a_config_error(text):
    assert isinstance(read(text), MachineFile | None)


KEYS = st.sampled_from(
    ["machine", "adapter", "lpar", "name", "id", "ids", "type", "host", "guest", "adapters", "domains", "uuid",
     "usage_domains", "control_domains", "apmask", "vfio_ap", "policy", "features", "facilities", "state"]
)  # fmt: skip
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.sampled_from(["5,6", "CEX8C"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=12,
)


def write(value):
    """A value as inline TOML."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {write(entry)}" for key, entry in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(write, value)) + "]"
    if isinstance(value, str):
        return '"' + "".join(f"\\U{ord(letter):08x}" for letter in value if not 0xD800 <= ord(letter) < 0xE000) + '"'
    return str(value).lower() if value is not None else '""'


@given(st.dictionaries(KEYS, VALUES, max_size=4))
@example({"lpar": [{"name": "a", "guest": [{"name": "b", "host": [], "guest": {}}]}]})
def test_values_of_any_type_anywhere_are_a_file_or_a_config_error(content):
    assert isinstance(
        read("".join(f"{key} = {write(value)}\n" for key, value in content.items())), MachineFile | None
    )


def paths(value, above=()):
    """All paths to something in a parsed TOML value."""
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, child in children:
        yield (*above, key)
        yield from paths(child, (*above, key))


@given(mutations())
@example(
    'a = """x\n""""" # "\nb.c = [1, # ]\n {d = \'}\', "e.\\u0066" = """]"""}]\n[[x.y]]\n[x.y.z]\nw = 1\n[[x.y]]\n'
)
def test_every_key_and_element_has_a_line(text):
    try:
        content = tomllib.loads(text)
    except ValueError:
        return
    places = Places(text)
    # A super-table that is only implied has the line of nothing; everything else has its own entry.
    for path in paths(content):
        line = places.line(path)
        assert line is None or 1 <= line <= text.count("\n") + 1
        assert line is not None or isinstance(_at(content, path), dict)


def _at(value, path):
    for part in path:
        value = value[part]
    return value


def test_lines_are_those_of_the_text():
    text = """\
a = 1
[t]  # comment
"q.r" = '''
x = 1
'''
b.c = [
  1,
  {d = 2},
]

[[u]]
[[u]]
e = 1
[[u.v]]
f = 1
[u.w]
g = 1
"""
    places = Places(text)
    lines = {
        ("a",): 1, ("t",): 2, ("t", "q.r"): 3, ("t", "b", "c"): 6, ("t", "b", "c", 0): 7, ("t", "b", "c", 1, "d"): 8,
        ("u",): 11, ("u", 0): 11, ("u", 1): 12, ("u", 1, "e"): 13, ("u", 1, "v", 0): 14, ("u", 1, "v", 0, "f"): 15,
        ("u", 1, "w", "g"): 17, ("u", 1, "w", "missing"): 16, ("none",): None,
    }  # fmt: skip
    assert {path: places.line(path) for path in lines} == lines


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.toml")), ids=lambda path: path.stem)
def test_examples_can_be_read(path):
    assert parse(path.read_text(), path.name).machine.name == path.stem
