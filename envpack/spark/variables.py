"""Pass an environment's variables to drivers and executors: where they apply, and through which shell."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from envpack.spark import node
from envpack.spark.launcher import HERE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from envpack.releases.manifest import Manifest

CHOOSERS = frozenset({"PYSPARK_PYTHON", "PYSPARK_DRIVER_PYTHON"})
"""Variables that choose the Python: the settings set them, and an environment's own would lead Spark elsewhere."""

_ROOT = re.compile(rf"(?<!\.){re.escape(HERE)}(?![\w.-])")
_SHELL = re.compile(r'[\\"$`]')

# Hadoop fills in pairs of braces and <LOG_DIR>; quotes inside keep them apart, and the shell drops the quotes.
_FILLED_IN = re.compile(r"\{(?=\{)|\}(?=\})|<(?=LOG_DIR>)")


def of(manifest: Manifest, root: str) -> dict[str, str]:
    """Return the variables of a release for processes that see the unpacked environment at `root`, sorted."""
    own = {
        name: _ROOT.sub(lambda _: root, value)
        for name, value in sorted(manifest.variables.items())
        if name not in CHOOSERS
    }
    return dict(sorted(node.kept(own, root).items()))


def anywhere(manifest: Manifest) -> dict[str, str]:
    """Return the variables that apply where the archive is not unpacked."""
    return {name: value for name, value in of(manifest, HERE).items() if not _ROOT.search(value)}


def through_a_shell(own: Mapping[str, str]) -> dict[str, str]:
    """Return variables escaped so that YARN's shell gives a driver the unchanged values.

    YARN writes `export NAME="VALUE"` into the script that starts a container and escapes nothing; before, it fills
    in `{{NAME}}` and `<LOG_DIR>`. Sources: Hadoop's ContainerLaunch.expandEnvironment and
    UnixShellScriptBuilder.env. Variables of executors need none of it: their Python workers get them from Spark.
    """
    return {name: _quoted(value) for name, value in own.items()}


def _quoted(value: str) -> str:
    escaped = _SHELL.sub(lambda found: "\\" + found[0], value)
    return _FILLED_IN.sub(lambda found: found[0] + '""', escaped)
