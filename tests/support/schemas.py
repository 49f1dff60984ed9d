"""Hold JSON against the schemas in `docs`, which refer to each other by file name."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator
from referencing import Registry, Resource

DOCS = Path(__file__).parent.parent.parent / "docs"


def check(value: Any, name: str) -> Any:
    """Return the value if `docs/NAME.schema.json` allows it; an error of jsonschema names the place if not."""
    schemas = _schemas()
    registry: Registry[Any] = Registry().with_resources(
        [(file, Resource.from_contents(schema)) for file, schema in schemas.items()]
    )
    Draft202012Validator(schemas[f"{name}.schema.json"], registry=registry).validate(value)
    return value


@cache
def _schemas() -> dict[str, Any]:
    return {path.name: json.loads(path.read_text("utf-8")) for path in DOCS.glob("*.schema.json")}
