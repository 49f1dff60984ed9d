"""The versions of the tools: an archive's bytes depend on them, the prefix and the options."""

from __future__ import annotations

from envpack.archive.deflate import VERSION as DEFLATE_VERSION
from envpack.tools.versions import versions

_CONDA_PACK, _UV, _RATTLER = versions("conda-pack", "uv", "py-rattler")

PACKER = f"12/conda-pack-{_CONDA_PACK}/{DEFLATE_VERSION}"
"""The writer of the bytes: the same prefix gives the same bytes as long as this is the same.

The number is envpack's: raise it with every change of what `pack` or `compile_prefix` write. Part of the input
digest.
"""

INSTALLERS = [_UV, _RATTLER]
"""Kept pieces are not used with other installers: the prefix may differ."""
