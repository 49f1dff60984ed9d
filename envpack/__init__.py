"""Turn a requirements file into a published PySpark environment and the settings that run a job in it.

import envpack

built = envpack.build("pandas-udf.txt", store="s3://bucket/envs", spark="3.5")
built.settings.conf["spark.pyspark.python"]
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from envpack import build as _build  # noqa: F401 - a folder; loaded first, it never hides the function below
from envpack.version import VERSION

if TYPE_CHECKING:
    from os import PathLike

    from envpack.build.results import Built
    from envpack.progress import Progress

__version__ = VERSION

__all__ = ["__version__", "build"]


def build(
    file: str | PathLike[str],
    *,
    name: str | None = None,
    tag: str | None = None,
    latest: bool = True,
    locked: bool = False,
    upgrade: bool = False,
    verify: bool = True,
    dry_run: bool = False,
    driver_python: str | None = None,
    progress: Progress | None = None,
    **configuration: Any,  # noqa: ANN401 - the fields of Config, each with its own type
) -> Built:
    """Build what a requirements file asks for, publish it, and say how Spark runs in it.

    `configuration` takes the fields of `envpack.config.Config` (`store`, `channels`, `python`, `platform`, `glibc`,
    `spark`, `format`, `launcher`, ...); other values come from `ENVPACK_*` variables, `envpack.yaml` and the
    defaults, as on the command line. Raises `envpack.errors.EnvpackError` for all expected failures, including an
    unknown keyword and a number in place of a text: write `python="3.10"`, as 3.10 is 3.1.
    """
    import os
    from pathlib import Path

    from envpack.build import check, pipeline
    from envpack.config.config import kinds, load
    from envpack.config.keywords import OPTIONS, checked
    from envpack.errors import of_system
    from envpack.progress import SILENT
    from envpack.redact import clean, meet_environment

    options = {
        "name": name,
        "tag": tag,
        "latest": latest,
        "locked": locked,
        "upgrade": upgrade,
        "verify": verify,
        "dry_run": dry_run,
        "driver_python": driver_python,
    }
    meet_environment(os.environ)
    try:
        known = kinds()
        given = checked({"file": file, **options, **configuration}, {**OPTIONS, **known})
        chosen = pipeline.Options(**{key: value for key, value in given.items() if key in options})
        wanted = {key: value for key, value in given.items() if key in known}
        config = load(wanted, os.environ, Path.cwd(), check.value)
        return pipeline.build(Path(given["file"]), config=config, options=chosen, progress=progress or SILENT)
    except BaseException as error:
        clean(error)
        named = of_system(error) if isinstance(error, OSError) else None
        if named:
            raise named from error
        raise
