"""Write the JSON schemas of what lies in a store, and of job files, from their types: `make schemas`."""

from __future__ import annotations

import ast
import inspect
import json
import sys
from functools import cache
from pathlib import Path
from typing import Any

import msgspec

from envpack.jobs import job_file
from tests.support.schemas import DOCS
from tests.support.stored import IN_A_STORE, SAMPLES

PACKAGE = DOCS.parent / "envpack"

JOB = DOCS / "job.schema.json"


def path_of(name: str) -> Path:
    """Return the file of a kind's schema; commands print manifests and lists of files too."""
    return DOCS / (f"{name}.schema.json" if name in ("manifest", "files") else f"stored-{name}.schema.json")


def schema_of(name: str) -> str:
    """Return the text of a kind's schema."""
    kind = SAMPLES[name].kind
    made = msgspec.json.schema(kind.type)
    definitions: dict[str, Any] = made["$defs"]
    for title, definition in definitions.items():
        _describe(title, definition)
    top = definitions.pop(kind.type.__name__)
    if kind.schema is not None:
        top["properties"] = {"schema": {"const": kind.schema}, **top["properties"]}
        top["required"] = ["schema", *top.get("required", ())]
    head = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": path_of(name).name,
        "title": f"envpack: {kind.what}" + (f", version {kind.schema}" if kind.schema else ""),
        "description": f"{inspect.getdoc(kind.type)} A reader passes over keys that it does not know.",
    }
    top.pop("title")
    top.pop("description", None)
    value = {**head, **top, **({"$defs": definitions} if definitions else {})}
    # Python's end of a text is JavaScript's `$`.
    return json.dumps(value, indent=2).replace("\\\\Z", "$") + "\n"


def job_schema() -> str:
    """Return the text of the schema of job files."""
    said = _docstrings()["JobFile"]
    top: dict[str, Any] = {}
    for name, kind in job_file.kinds().items():
        section, _, rest = name.partition("_")
        inner = section in job_file.SECTIONS
        holder = top.setdefault(section, {**_MAPPING, "properties": {}})["properties"] if inner else top
        holder[rest.replace("_", "-") if inner else name] = {"description": said[name], **_JOB_KINDS[kind]}
    value = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": JOB.name,
        "title": "envpack: a job file",
        **_MAPPING,
        "required": ["code", "environment"],
        "properties": top,
    }
    return json.dumps(value, indent=2) + "\n"


_MAPPING = {"type": "object", "additionalProperties": False}
_SCALAR = {"type": ["string", "number", "boolean", "null"]}
_JOB_KINDS: dict[str, dict[str, Any]] = {
    "text": {"type": ["string", "number"]},
    "list": {"type": ["array", "string"], "items": {"type": ["string", "number", "boolean"]}},
    "mapping": {"type": "object", "additionalProperties": _SCALAR},
    "gaps": {"type": "object", "additionalProperties": _SCALAR},
}


def _describe(title: str, definition: dict[str, Any]) -> None:
    said = _docstrings().get(title, {})
    for field, rule in definition.get("properties", {}).items():
        if said.get(field):
            rule["description"] = said[field]
    for field, rule in zip(said, definition.get("prefixItems", ()), strict=False):
        rule["description"] = said[field] or field


@cache
def _docstrings() -> dict[str, dict[str, str]]:
    """Return what is said below each field of each class of the package; one without words has an empty text."""
    found: dict[str, dict[str, str]] = {}
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.ClassDef):
                found.setdefault(node.name, _fields(node))
    return found


def _fields(node: ast.ClassDef) -> dict[str, str]:
    said: dict[str, str] = {}
    last = ""
    for each in node.body:
        if isinstance(each, ast.AnnAssign) and isinstance(each.target, ast.Name):
            last = each.target.id
            said[last] = ""
        elif last and isinstance(each, ast.Expr) and isinstance(each.value, ast.Constant):
            said[last] = inspect.cleandoc(str(each.value.value)).replace("\n", " ")
            last = ""
    return said


def main() -> None:
    """Write all of them."""
    for name in IN_A_STORE:
        path_of(name).write_text(schema_of(name), "utf-8")
        sys.stdout.write(f"{path_of(name)}\n")
    JOB.write_text(job_schema(), "utf-8")
    sys.stdout.write(f"{JOB}\n")


if __name__ == "__main__":
    main()
