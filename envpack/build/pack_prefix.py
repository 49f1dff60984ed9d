"""Pack an existing environment, made by any tool."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from envpack import digest
from envpack.archive.bytecode import Compiler
from envpack.archive.fingerprint import fingerprint
from envpack.archive.packer import PACKER
from envpack.archive.packing import assemble, pack
from envpack.archive.pieces import Kept
from envpack.archive.slim import VERSION as SLIM
from envpack.build.archive_options import level_of, pieces_of
from envpack.build.recipes import Recipes, recipe_of
from envpack.files.cache import Cache
from envpack.progress import SILENT
from envpack.tools.cage import Confine

if TYPE_CHECKING:
    from envpack.archive.formats import FormatName
    from envpack.archive.packing import Packed
    from envpack.config.config import Config
    from envpack.progress import Progress


def pack_prefix(
    prefix: Path, file: Path, format: FormatName, *, config: Config, progress: Progress = SILENT
) -> Packed:
    """Pack an existing prefix, which is not changed, into a file.

    Bytecode that a node can use is written outside the prefix when the prefix's Python runs here: the prefix's own
    bytecode contains times and paths. Where that Python would accept it for its source, its code is read from there
    and not compiled. Unchanged parts of an earlier archive are not compressed again. Raises PackingFailed.
    """
    prefix = Path(os.path.abspath(prefix))  # noqa: PTH100 - not resolve(): the files name the prefix as it was called
    cache = Cache(Path(config.cache_dir))
    level, confine = level_of(config), Confine.named(config.confine)
    pieces = pieces_of(config, cache)
    recipes = Recipes(cache.recipes)
    look = fingerprint(prefix) if (prefix / "conda-meta").is_dir() else None
    key = (
        digest.of_json(["prefix", look.whole, format, level, PACKER, SLIM if config.slim else None]) if look else ""
    )
    recipe = recipes.load(key) if look else None
    if recipe:
        packed = assemble(recipe.pieces, pieces, file, format=format, progress=progress)
        if packed and packed.sha256 == recipe.sha256:
            return packed
    with cache.scratch() as scratch:
        python = prefix / "bin" / "python"
        bytecode = scratch / "bytecode"
        bytecode.mkdir()
        packed = pack(
            prefix,
            file,
            format=format,
            level=level,
            bytecode=bytecode,
            compiler=Compiler(python=python, into=bytecode, own=True, confine=confine) if python.exists() else None,
            kept=Kept(pieces=pieces, identify=look.identities) if look else None,
            slim=config.slim,
            progress=progress,
        )
    for text in packed.warnings:
        progress.warn(text)
    if look and (recipe := recipe_of(packed)):
        recipes.keep(key, recipe)
    return packed
