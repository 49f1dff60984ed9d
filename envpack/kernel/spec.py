"""Make what Jupyter needs to start a kernel in a release: the content of kernel.json.

Source: jupyter_client's docs/kernels.rst. Jupyter fills `${NAME}` into the values of `env`; `$$` is a dollar sign.
A kernel's environment is not activated, so everything that activation would set is written into it.
"""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING, Any

from envpack.errors import UsageError
from envpack.spark.local_process import LOCAL, variables_in

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from envpack.releases.lookup import Release

_NAME = re.compile(r"[A-Za-z0-9._-]{1,200}")
_SUBMIT = "PYSPARK_SUBMIT_ARGS"
_SHELL_END = "pyspark-shell"
_IPYKERNEL = "ipykernel"


def check_release(release: Release) -> None:
    """Raise UsageError for a release in which no kernel can run."""
    names = {package.name for package in release.manifest.packages}
    if _IPYKERNEL not in names:
        raise UsageError(
            f"{release.manifest.reference} has no {_IPYKERNEL}, which Jupyter needs",
            hint=f"add a line `{_IPYKERNEL}` to its requirements and run `envpack build FILE` again",
        )


def check_name(name: str) -> str:
    """Return the name of a kernel if Jupyter accepts it; raises UsageError."""
    if not _NAME.fullmatch(name):
        raise UsageError(f"{name!r} is not a valid name of a kernel", hint="use letters, digits, `.`, `_` and `-`")
    return name


def kernel_json(
    release: Release,
    directory: Path,
    *,
    launcher: str = LOCAL,
    spark: str | None = None,
    master: str | None = None,
    spark_home: Path | None = None,
    display_name: str | None = None,
) -> dict[str, Any]:
    """Return the content of kernel.json for a release that is unpacked at `directory`.

    Driver and kernel are one process, so the Python of both is the release's. Workers run in the same directory
    with the launcher `local`, and in the archive with other launchers. `master` is Spark's, where its own
    configuration does not set it; `spark_home` is a Spark to import pyspark from, where the release has none.
    Raises UsageError when the launcher has its driver elsewhere or cannot run the release.
    """
    manifest = release.manifest
    own = variables_in(manifest, release.archive_uri, directory, launcher=launcher, spark=spark)
    if arguments := _submit(own.pop(_SUBMIT, None), launcher, master):
        own[_SUBMIT] = arguments
    env = {name: value.replace("$", "$$") for name, value in sorted(own.items())}
    env |= _of_spark(spark_home)
    env["PATH"] = f"{str(directory / 'bin').replace('$', '$$')}:${{PATH}}"
    return {
        "argv": [str(directory / "bin/python"), "-m", "ipykernel_launcher", "-f", "{connection_file}"],
        "display_name": display_name or f"{manifest.name} ({launcher})",
        "language": "python",
        "interrupt_mode": "signal",
        "env": env,
        "metadata": {
            "debugger": True,
            "envpack": {"reference": manifest.reference, "digest": manifest.digest, "launcher": launcher},
        },
    }


def has_pyspark(release: Release) -> bool:
    """Return whether a release contains pyspark itself."""
    return any(package.name == "pyspark" for package in release.manifest.packages)


def _submit(arguments: str | None, launcher: str, master: str | None) -> str | None:
    """Return PYSPARK_SUBMIT_ARGS with the master, if there is anything to set."""
    words = shlex.split(arguments) if arguments else [_SHELL_END]
    if launcher.startswith("yarn"):
        words = ["--master", "yarn", "--deploy-mode", "client", *words]
    elif master:
        words = ["--master", master, *words]
    return shlex.join(words) if words != [_SHELL_END] else None


def _of_spark(home: Path | None) -> Mapping[str, str]:
    """Return the variables that let a Python import pyspark from a Spark; raises UsageError where there is none.

    They name the zips that spark-submit itself uses (Spark's PythonUtils.sparkPythonPath).
    """
    if home is None:
        return {}
    home = home.absolute()
    libraries = sorted((home / "python/lib").glob("py4j-*-src.zip"))[-1:]
    packed = home / "python/lib/pyspark.zip"
    if not libraries or not packed.is_file():
        raise UsageError(
            f"{home} is not a Spark installation: it has no python/lib/pyspark.zip",
            hint="give Spark's directory with --spark-home",
        )
    places = ":".join(map(str, (packed, *libraries)))
    return {"SPARK_HOME": str(home).replace("$", "$$"), "PYTHONPATH": places.replace("$", "$$")}
