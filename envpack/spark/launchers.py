"""The launchers of Spark applications, each with its treatment of an archive; sources: docs/spark.md."""

from __future__ import annotations

from dataclasses import replace

from envpack.archive.formats import ALIAS
from envpack.config.nearest import nearest
from envpack.errors import UsageError
from envpack.spark.launcher import Launcher

_YARN_ARCHIVES = "spark.yarn.dist.archives"
_ANY = (2, 4)
_SESSION = "spark.sql.execution.pyspark.python"
_SERVERLESS = "spark.emr-serverless.driverEnv."
_DATAPROC = "spark.dataproc.driverEnv."

# Spark 4 looks for Python data sources from the driver's Java process, which reads the variable.
_ON_YARN = ("spark.pyspark.python", "spark.yarn.appMasterEnv.PYSPARK_PYTHON")
_AM = "spark.yarn.appMasterEnv."

_LIVY_FILES = (
    "the archive must be on the Livy server's own disk, in a directory that livy.file.local-dir-whitelist names"
)
_LIVY_MODE = "Livy must start its drivers on the cluster: livy.spark.deploy-mode = cluster in its livy.conf"
_IMAGE = "the image must have /bin/sh, bash, gzip and tar, which distroless images lack"

_GIVEN_ON_YARN = Launcher(
    name="",
    purpose="",
    submit="",
    archives=_YARN_ARCHIVES,
    option=False,
    python=_ON_YARN,
    driver_variables=_AM,
    yarn=True,
    unpacker="yarn",
)
"""What a service has in common that starts jobs in YARN's cluster mode from a request or a cell."""

_ALL = (
    # YARN unpacks archives itself and then makes every file readable and executable, in any format.
    Launcher(
        name="yarn-cluster",
        purpose="YARN, the driver inside the cluster; the default",
        master="yarn",
        mode="cluster",
        submit="submit with --master yarn --deploy-mode cluster",
        archives=_YARN_ARCHIVES,
        python=_ON_YARN,
        driver_variables=_AM,
        yarn=True,
        unpacker="yarn",
    ),
    Launcher(
        name="yarn-client",
        purpose="YARN, the driver on your machine",
        master="yarn",
        mode="client",
        submit="submit with --master yarn --deploy-mode client",
        driver="client",
        archives=_YARN_ARCHIVES,
        yarn=True,
        unpacker="yarn",
    ),
    Launcher(
        name="k8s-cluster",
        purpose="Kubernetes, the driver in a pod",
        mode="cluster",
        submit="submit with --master k8s://https://HOST:PORT --deploy-mode cluster",
        driver_variables="spark.kubernetes.driverEnv.",
        kubernetes=True,
        since=(3, 1),
        local="spark-submit first copies the archive to spark.kubernetes.file.upload.path, which must be set",
        notes=(
            _IMAGE,
            "do not export PYSPARK_PYTHON or PYSPARK_DRIVER_PYTHON where you submit: they reach the driver's pod",
        ),
    ),
    Launcher(
        name="spark-operator",
        purpose="Kubernetes with Kubeflow's Spark Operator: part of a SparkApplication",
        archives_field="deps.archives",
        submit="put this into the SparkApplication beside type: Python, mode: cluster and mainApplicationFile",
        text="operator",
        option=False,
        driver_variables="spark.kubernetes.driverEnv.",
        kubernetes=True,
        since=(3, 1),
        local="the operator's own pod reads archives from a bucket",
        local_refused=True,
        notes=(_IMAGE, "the operator must be 2.1 or newer: older ones drop deps.archives"),
    ),
    Launcher(
        name="k8s-client",
        purpose="Kubernetes, the driver on your machine, such as a notebook's pod",
        mode="client",
        submit="submit with --master k8s://https://HOST:PORT --deploy-mode client",
        driver="client",
        since=(3, 1),
        notes=(_IMAGE,),
    ),
    Launcher(
        name="standalone",
        purpose="a standalone master, or `local-cluster`",
        submit="submit with --master spark://HOST:7077 (a standalone cluster has no cluster mode for Python)",
        driver="client",
        since=(3, 1),
    ),
    # Everything runs in one process, and `--archives` unpacks into none of its working directories.
    Launcher(
        name="local",
        purpose="one machine, `local[*]`: the archive is unpacked first",
        master="local[*]",
        submit="submit with --master 'local[*]'",
        driver="local",
        archives=None,
        option=False,
        root=None,
        unpacker="shell",
    ),
    # A session's workers run in their own directory, below the executor's.
    Launcher(
        name="connect",
        purpose="a Spark Connect server: all its sessions run in the release",
        submit="start the server with this command, and add its --master",
        text="connect",
        driver="server",
        root=f"../{ALIAS}",
        python=(),
        python_variables=("PYSPARK_PYTHON",),
        since=(3, 5),
        before="has no directory of its own for a session",
        notes=("the server reads PYSPARK_PYTHON when it starts; no property does the same",),
    ),
    Launcher(
        name="connect-client",
        purpose="one session of a Spark Connect server, from its client",
        submit="run these lines when the session has been made",
        text="connect-client",
        driver="session",
        archives=None,
        option=False,
        python=(_SESSION,),
        executor_variables=None,
        since=(3, 5),
        before="cannot be sent archives",
    ),
    replace(
        _GIVEN_ON_YARN,
        name="livy-session",
        purpose="Livy, an interactive session: the body of POST /sessions",
        archives_field="`archives` of the request",
        submit=_LIVY_MODE,
        text="livy-session",
        local=_LIVY_FILES,
    ),
    replace(
        _GIVEN_ON_YARN,
        name="livy-batch",
        purpose="Livy, a batch: the body of POST /batches, without `file`",
        archives_field="`archives` of the request",
        submit=_LIVY_MODE,
        text="livy",
        local=_LIVY_FILES,
        notes=('add your program to the body: "file": "s3a://bucket/app.py"',),
    ),
    replace(
        _GIVEN_ON_YARN,
        name="kyuubi",
        purpose="Kyuubi, a batch on YARN: the body of POST /api/v1/batches, without `resource`",
        archives_field="`conf` of the request",
        submit="Kyuubi must submit to YARN in cluster mode: spark.master=yarn, spark.submit.deployMode=cluster",
        text="kyuubi",
        local="the archive must be on the Kyuubi server's own disk",
        notes=('add your program to the body: "resource": "s3a://bucket/app.py"',),
    ),
    replace(
        _GIVEN_ON_YARN,
        name="synapse",
        purpose="Azure Synapse, a batch over its Livy: the body of POST .../POOL/batches, without `file`",
        archives_field="`archives` of the request",
        submit="post it to https://WORKSPACE.dev.azuresynapse.net/livyApi/versions/2019-11-01-preview/sparkPools/POOL",
        text="synapse",
        local="Synapse reads archives from Azure's storage",
        local_refused=True,
        notes=(
            "add name and file, which are required, and the sizes of driver and executors as the pool has them",
            "copy the archive, under its own name, to a container that the pool reads; give its abfss:// address",
        ),
    ),
    replace(
        _GIVEN_ON_YARN,
        name="zeppelin",
        purpose="Zeppelin's Spark interpreter on YARN: a paragraph to run before the first query",
        archives_field="spark.yarn.dist.archives of the paragraph",
        submit="the interpreter must be isolated, per note, so that notes can have environments of their own",
        text="zeppelin",
        conf={"spark.submit.deployMode": "cluster"},
        local="the archive must be on the Zeppelin server's own disk",
        notes=("for Zeppelin's Livy interpreter write the same names with livy. before them in its settings",),
    ),
    replace(
        _GIVEN_ON_YARN,
        name="sparkmagic",
        purpose="a notebook over Livy: a cell to run before the first query",
        archives_field="`archives` of the cell",
        submit=_LIVY_MODE,
        text="sparkmagic",
        local=_LIVY_FILES,
    ),
    # Into the defaults: the user's %%configure replaces all of `session_configs`.
    replace(
        _GIVEN_ON_YARN,
        name="sparkmagic-config",
        purpose="sparkmagic's config.json, as on a JupyterHub: every new session starts in the release",
        archives_field="`archives` of session_configs_defaults",
        submit=f"merge it into sparkmagic's config.json (~/.sparkmagic). {_LIVY_MODE}",
        text="sparkmagic-config",
        local=_LIVY_FILES,
        notes=("a person's own `archives` in %%configure take the place of these: name both there",),
    ),
    # `env_vars=` would also reach spark-submit itself, which then looks for the packed Python on Airflow's worker.
    replace(
        _GIVEN_ON_YARN,
        name="airflow",
        purpose="Airflow, SparkSubmitOperator on YARN: keyword arguments",
        archives_field="`archives=` of the operator",
        submit="the operator's connection must have the master yarn and the deploy mode cluster",
        text="airflow",
        local="the archive must be on the disk of every worker of Airflow",
        notes=("give the operator no env_vars with PYSPARK_PYTHON in it: they reach spark-submit itself too",),
    ),
    replace(
        _GIVEN_ON_YARN,
        name="airflow-livy",
        purpose="Airflow, LivyOperator: keyword arguments",
        archives_field="`archives=` of the operator",
        submit=_LIVY_MODE,
        text="airflow-livy",
        local=_LIVY_FILES,
    ),
    # EMR's own file system reads s3://; its spark-env exports a PYSPARK_PYTHON, which the property beats.
    Launcher(
        name="emr",
        purpose="Amazon EMR on EC2, the driver inside the cluster",
        master="yarn",
        mode="cluster",
        submit="submit with --master yarn --deploy-mode cluster, on the cluster or as a step",
        archives=_YARN_ARCHIVES,
        python=_ON_YARN,
        driver_variables=_AM,
        scheme="s3",
        yarn=True,
        unpacker="yarn",
    ),
    Launcher(
        name="emr-serverless",
        purpose="Amazon EMR Serverless: sparkSubmitParameters of a job run",
        archives_field="spark.archives",
        submit="give this as sparkSubmitParameters of the job run",
        text="parameters",
        option=False,
        python=(
            f"{_SERVERLESS}PYSPARK_DRIVER_PYTHON",
            f"{_SERVERLESS}PYSPARK_PYTHON",
            "spark.executorEnv.PYSPARK_PYTHON",
        ),
        driver_variables=_SERVERLESS,
        scheme="s3",
        since=(3, 2),
        before="does not exist",
        local="EMR Serverless reads archives from S3 only",
        local_refused=True,
    ),
    # Amazon's pods have Spark's own submission in them; EMRFS reads s3://.
    Launcher(
        name="emr-eks",
        purpose="Amazon EMR on EKS: sparkSubmitParameters of a job run",
        archives_field="spark.archives",
        submit="give this as sparkSubmitParameters of the job run",
        text="parameters",
        option=False,
        driver_variables="spark.kubernetes.driverEnv.",
        kubernetes=True,
        scheme="s3",
        since=(3, 1),
        local="EMR on EKS reads archives from S3",
        local_refused=True,
    ),
    Launcher(
        name="dataproc-serverless",
        purpose="Google Dataproc Serverless: options of `gcloud dataproc batches submit pyspark`",
        submit="add this to gcloud dataproc batches submit pyspark app.py",
        text="gcloud",
        python=(f"{_DATAPROC}PYSPARK_PYTHON", "spark.executorEnv.PYSPARK_PYTHON"),
        driver_variables=_DATAPROC,
        scheme="gs",
        since=(3, 3),
        before="does not exist",
        local="Dataproc reads archives from Cloud Storage",
        local_refused=True,
        notes=("the bucket must be one of Cloud Storage; copy the archive there under its own name if it is not",),
    ),
    Launcher(
        name="dataproc",
        purpose="Google Dataproc on Compute Engine: options of `gcloud dataproc jobs submit pyspark`",
        submit="add this to gcloud dataproc jobs submit pyspark app.py --cluster NAME",
        text="gcloud",
        archives=_YARN_ARCHIVES,
        python=_ON_YARN,
        conf={"spark.submit.deployMode": "cluster"},
        driver_variables=_AM,
        scheme="gs",
        yarn=True,
        unpacker="yarn",
        local="Dataproc reads archives from Cloud Storage",
        local_refused=True,
        notes=("the bucket must be one of Cloud Storage; copy the archive there under its own name if it is not",),
    ),
    # Flink unpacks it with the shell's tar: once for the job's main program and once on every TaskManager.
    Launcher(
        name="flink-yarn",
        purpose="PyFlink on YARN: options of `flink run -t yarn-application`",
        submit="add this to flink run -t yarn-application -pyfs DIRECTORY -pym MODULE",
        archives_field="-pyarch",
        text="flink",
        archives="python.archives",
        option=False,
        python=("python.executable", "python.client.executable"),
        driver_variables="containerized.master.env.",
        executor_variables="containerized.taskmanager.env.",
        scheme="s3",
        yarn=True,
        flink=True,
        unpacker="shell",
        local="the archive must be at this path on every node of the cluster, as a mounted disk has it",
        notes=(
            "s3:// needs one of Flink's S3 plugins, or fs.allowed-fallback-filesystems: s3 and Hadoop's fs.s3.impl",
            "-pyfs must be where the nodes see it: on a mounted disk, or sent by yarn.ship-files; -py fails there",
        ),
    ),
)

LAUNCHERS = {launcher.name: launcher for launcher in _ALL}
"""Every launcher by its name, the default first."""

DEFAULT = _ALL[0].name

ALIASES = {"yarn": DEFAULT, "kubernetes": "k8s-cluster"}
"""Other names that are understood."""


def launcher_named(name: str) -> Launcher:
    """Return a launcher; raises UsageError when there is none of that name."""
    try:
        return LAUNCHERS[ALIASES.get(name, name)]
    except KeyError:
        near = nearest(name, [*LAUNCHERS, *ALIASES])
        hint = f"did you mean {' or '.join(near)}?" if near else f"choose one of {', '.join(LAUNCHERS)}"
        raise UsageError(f"unknown launcher {name!r}", hint=hint) from None
