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
@click.option("--master", metavar="URL", help="The Spark master, if Spark's own configuration does not set it.")
@click.option(
    "--spark-home",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    metavar="DIR",
    help="The Spark directory whose pyspark is used if the release has none; by default SPARK_HOME.",
)
@click.option("--name", metavar="NAME", help="Jupyter's name of the kernel; by default envpack-NAME.")
@click.option("--display-name", metavar="TEXT", help="The name of the kernel in Jupyter's menu.")
@click.option(
    "--prefix",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Install for all users of the Jupyter in this prefix, such as /opt/jupyter; by default only for yourself.",
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
    """Install a Jupyter kernel that runs the release REF, which must contain ipykernel.

    The release is unpacked next to kernel.json, which sets its variables. A Spark driver in a notebook uses the
    release's Python. Its workers use the same Python on this machine; with --launcher yarn-client, k8s-client or
    standalone they run on the cluster, from the archive. Run the command again to move the kernel to another
    release; `jupyter kernelspec remove` removes all of it. The path of the kernel's directory is printed.
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
            "the release has no pyspark, and no Spark was given: --spark-home DIR lets notebooks import it"
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
