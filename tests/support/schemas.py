"""The schemas of JSON documents, and what docs/json.md says about them."""

from __future__ import annotations

import json
from copy import deepcopy
from typing import TYPE_CHECKING, Any

from jsonschema import Draft202012Validator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

from support.documents import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

SCHEMAS: dict[str, dict[str, Any]] = {
    path.stem: json.loads(path.read_text()) for path in sorted((ROOT / "docs/reference/schema").glob("*.json"))
}


def strict(schema: Any) -> Any:
    """The schema without fields that it does not name: readers must ignore those, but we print none."""
    if isinstance(schema, list):
        return [strict(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    found = {key: strict(value) for key, value in schema.items()}
    if isinstance(schema.get("properties"), dict) and schema.get("type") == "object":
        found.setdefault("additionalProperties", False)
    return found


REGISTRY: Registry[Any] = Registry().with_resources(
    (f"{name}.json", Resource.from_contents(strict(deepcopy(schema)), default_specification=DRAFT202012))
    for name, schema in SCHEMAS.items()
)


def problems(document: Any) -> list[str]:
    """What does not fit the schema of a document's kind."""
    kind = document.get("kind")
    if kind not in SCHEMAS:
        return [f"there is no schema for {kind}"]
    validator = Draft202012Validator({"$ref": f"{kind}.json"}, registry=REGISTRY)
    return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(document)]


def document(text: str) -> dict[str, Any]:
    """The one document that a command printed, which fits its schema."""
    found: dict[str, Any] = json.loads(text)
    assert problems(found) == []
    return found


def tables(kind: str) -> Iterator[str]:
    """The tables of docs/json.md about a kind, or about what several have."""
    schema = SCHEMAS[kind]
    if "properties" in schema:
        yield _table(schema)
    for name, inner in schema.get("$defs", {}).items():
        yield f"`{name}`: {inner['description']}\n\n{_table(inner)}"


def _table(schema: dict[str, Any]) -> str:
    required = schema.get("required", [])
    rows = [
        f"| `{name}`{'' if name in required else ' (optional)'} | {_type(field)} | {_meaning(field)} |"
        for name, field in schema["properties"].items()
        if name not in ("version", "kind")
    ]
    return "\n".join(("| field | type | meaning |", "|---|---|---|", *rows))


def _meaning(field: dict[str, Any]) -> str:
    words: str = field["description"]
    return words[:1].lower() + words[1:]


def _type(field: dict[str, Any]) -> str:
    if "$ref" in field:
        file, _, path = field["$ref"].partition("#")
        name = path.rpartition("/")[2]
        return f"[{name}](#common)" if file else f"`{name}`"
    if values := [field["const"]] if "const" in field else field.get("enum"):
        return ", ".join(f"`{json.dumps(value)}`" for value in values)
    kinds = field.get("type", "object")
    if kinds == "array":
        return f"list of {_type(field['items'])}"
    if "additionalProperties" in field:
        return f"object of {_type(field['additionalProperties'])}"
    return kinds if isinstance(kinds, str) else " or ".join(kinds)
