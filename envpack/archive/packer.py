"""What an archive's bytes depend on besides the prefix and the options: the versions of the tools."""

from __future__ import annotations

from envpack.archive.deflate import VERSION as DEFLATE_VERSION
from envpack.tools.versions import versions

_CONDA_PACK, _UV, _RATTLER = versions("conda-pack", "uv", "py-rattler")

PACKER = f"7/conda-pack-{_CONDA_PACK}/zlib-ng-{DEFLATE_VERSION}"
"""What writes the bytes: the same prefix gives the same bytes as long as this is the same.

The number is ours: raise it with every change of what `pack` or `compile_prefix` write. Part of the input digest.
"""

INSTALLERS = [_UV, _RATTLER]
"""Kept pieces are not used with other installers: what these put into a prefix may differ."""
