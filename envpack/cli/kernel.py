"""`envpack kernel`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click

from envpack.cli import options
from envpack.cli.answer import hand_over, say_json
from envpack.cli.screen import screen

SCHEMA = 1
"""Version of the JSON that the command prints (docs/kernel.schema.json)."""


@click.command(
    "kernel",
    epilog="""\b
Examples:
  envpack kernel pandas-udf:prod --store s3://bucket/envs
  envpack kernel pandas-udf:prod --launcher yarn-client --spark-home /opt/spark
  envpack kernel pandas-udf --launcher standalone --master spark://HOST:7077 --prefix /opt/jupyter""",
)
@options.REFERENCE
@options.STORE
@options.SPARK
@options.LAUNCHER
@click.option("--master", metavar="URL", help="Spark's master, where its own configuration does not say it.")
@click.option(
    "--spark-home",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    metavar="DIR",
    help="The Spark whose pyspark a release without one uses; by default SPARK_HOME.",
)
@click.option("--name", metavar="NAME", help="What Jupyter calls the kernel; by default envpack-NAME.")
@click.option("--display-name", metavar="TEXT", help="What people choose it by.")
@click.option(
    "--prefix",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Install for all who use Jupyter of this Python, such as /opt/jupyter; by default for yourself.",
)
@options.CACHE
@options.OUTPUT_JSON
@options.TALK
def kernel_command(
    reference: str,
    output: str,
    *,
    master: str | None,
    spark_home: Path | None,
    name: str | None,
    display_name: str | None,
    prefix: Path | None,
    quiet: bool,
    verbose: bool,
    **given: Any,
) -> None:
    """Install a Jupyter kernel that runs the release that REF names; it needs ipykernel among its packages.

    The release is unpacked once, beside kernel.json, with its variables in it. A Spark driver in a notebook runs in
    its Python. Its workers run in the same place, or with --launcher yarn-client, k8s-client or standalone in the
    archive on the cluster. Run it again to move the kernel to another release; `jupyter kernelspec remove` removes
    all of it. The answer is the kernel's folder.
    """
    from envpack.files.cache import Cache
    from envpack.kernel import install, spec
    from envpack.releases import references
    from envpack.spark.local_process import launcher_here

    progress = screen(quiet=quiet, verbose=verbose)
    config = options.configuration(given)
    launcher = launcher_here(config.launcher, asked=config.origins.get("launcher", "").startswith("--"))
    found = references.find(reference, config)
    spec.check_release(found.release)
    called = spec.check_name(name or f"envpack-{found.release.manifest.name}")
    home = install.home_of(os.environ, prefix)
    spark_home = None if spec.has_pyspark(found.release) else spark_home or _spark_home()
    if not spark_home and not spec.has_pyspark(found.release):
        progress.warn(
            "the release has no pyspark, and no Spark was named: --spark-home DIR lets notebooks import it"
        )
    directory = install.environment_of(home, called, found.release)
    content = spec.kernel_json(
        found.release,
        directory,
        launcher=launcher,
        spark=config.spark,
        master=master,
        spark_home=spark_home,
        display_name=display_name,
    )
    cache = Cache(Path(config.cache_dir))
    folder = install.install(found.store, found.release, directory, content, cache=cache, progress=progress)
    if output == "json":
        facts = {"name": called, "folder": str(folder), "reference": found.release.manifest.reference}
        say_json({"schema": SCHEMA, **facts, "kernel": content})
        return
    progress.info(f"{found.release.manifest.reference} is the kernel {called} ({launcher})")
    hand_over(str(folder))


def _spark_home() -> Path | None:
    home = os.environ.get("SPARK_HOME")
    return Path(home) if home else None
