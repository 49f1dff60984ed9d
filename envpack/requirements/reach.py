"""Which variables of an environment affect more than its own packages, and what each does to a job."""

from __future__ import annotations

_OF_NAMES = {
    # the dynamic linker: ld.so(8)
    "LD_PRELOAD": "the linker loads these libraries into every program of the job, Java and shells included",
    "LD_LIBRARY_PATH": "every program looks there first for its libraries, Java and Hadoop's native code included",
    "LD_AUDIT": "the linker loads these libraries into every program, and lets them change what it links",
    "GLIBC_TUNABLES": "it changes the C library of every program of the job",
    "GCONV_PATH": "the C library of every program loads converters from there",
    "LOCPATH": "the C library of every program reads its locales there",
    # starting programs; variables that control a shell are refused (envpack/variable_names.py)
    "PATH": "it replaces the node's PATH: where it lacks /usr/bin and /bin, the scripts that start Java fail",
    "HOME": "programs look for configuration, credentials and caches there; on YARN it is the node's to set",
    # Python: https://docs.python.org/3/using/cmdline.html
    "PYTHONHOME": "Python looks for its own library there, and the packed one does not start",
    "PYTHONPATH": "modules there win over the archive's, and Spark adds its own behind them",
    "PYTHONUSERBASE": "Python takes a user's packages from there before the archive's",
    "PYTHONPLATLIBDIR": "Python looks for its own library in another directory, and the packed one does not start",
    "PYTHONEXECUTABLE": "on macOS Python takes this for its own program",
    "PYTHONSTARTUP": "interactive Pythons run this file first",
    "PYTHONBREAKPOINT": "breakpoint() imports and calls what it names",
    "PYTHONINSPECT": "a driver does not end with its program: it waits for input",
    "PYTHONOPTIMIZE": "`assert` does nothing, and each worker compiles its modules, as the archive has none for it",
    "PYTHONPYCACHEPREFIX": "the archive's bytecode is not used: each worker compiles its modules",
    "PYTHONHASHSEED": "where workers differ in it, hashes of strings differ: Spark sets it to 0 for its own",
    "PYTHONSAFEPATH": "the program's own directory is not searched for modules",
    "PYTHONCASEOK": "on some systems modules are found whatever their case",
    # Java: the JVM's own documentation
    "JAVA_TOOL_OPTIONS": "every Java process of the job takes these options, and says so on stderr",
    "JDK_JAVA_OPTIONS": "every `java` of the job takes these options",
    "_JAVA_OPTIONS": "every Java process of the job takes these options, and they win over Spark's",
    "JAVA_HOME": "it chooses the Java that driver and executors run on where YARN starts them",
    "CLASSPATH": "Java programs take classes from there",
    # Spark and Hadoop: conf/spark-env.sh.template, etc/hadoop/hadoop-env.sh
    "SPARK_HOME": "PySpark and Spark's scripts take Spark from there",
    "SPARK_CONF_DIR": "Spark reads its configuration there",
    "SPARK_DIST_CLASSPATH": "Spark's processes take classes from there",
    "SPARK_LOCAL_DIRS": "Spark keeps shuffle files there instead of where the cluster says",
    "SPARK_USER": "Spark takes the job for this user's",
    "HADOOP_USER_NAME": "Hadoop takes the job for this user's where it does not use Kerberos",
    "HADOOP_CONF_DIR": "Hadoop reads its configuration there, and with it which cluster this is",
    "YARN_CONF_DIR": "Hadoop reads its configuration there, and with it which cluster this is",
    "HADOOP_CLASSPATH": "Hadoop's programs take classes from there",
    "KRB5_CONFIG": "Kerberos is configured by this file",
    "KRB5CCNAME": "Kerberos takes its tickets from there",
    "OPENSSL_CONF": "every program that uses OpenSSL is configured by this file, and loads what it names",
    "OPENSSL_MODULES": "every program that uses OpenSSL loads its modules from there",
    "NODE_OPTIONS": "every node process of the job takes these options",
    "PERL5OPT": "every perl of the job takes these options",
    "PERL5LIB": "every perl of the job takes modules from there",
    "RUBYOPT": "every ruby of the job takes these options",
    "HOSTALIASES": "names of hosts are looked up in this file first",
    "RES_OPTIONS": "it changes how every program looks up names of hosts",
}

_OF_BEGINNINGS = {
    "LD_": "it changes how the linker loads every program of the job",
    "PYTHON": "it changes how every Python of the job runs",
    "PYSPARK_": "it steers PySpark itself, beside what the settings say",
    "SPARK_": "it steers Spark itself: its scripts and processes read it",
    "HADOOP_": "it steers Hadoop itself: its scripts and processes read it",
    "YARN_": "it steers YARN itself: its scripts and processes read it",
    "MALLOC_": "it changes how every program of the job gets its memory",
    "AWS_ENDPOINT_URL": "AWS's clients in the job send requests, and what they are signed with, to this address",
}

_HARMLESS = frozenset(
    {
        *("PYTHONUNBUFFERED", "PYTHONIOENCODING", "PYTHONUTF8", "PYTHONNOUSERSITE", "PYTHONDONTWRITEBYTECODE"),
        *("PYTHONFAULTHANDLER", "PYTHONWARNINGS", "PYTHONTRACEMALLOC", "PYTHONASYNCIODEBUG", "PYTHONTZPATH"),
        *("PYTHONINTMAXSTRDIGITS", "PYTHONCOERCECLOCALE", "PYTHONMALLOCSTATS", "PYTHONNODEBUGRANGES"),
        *("MALLOC_ARENA_MAX", "MALLOC_TRIM_THRESHOLD_"),
        *("PYSPARK_PYTHON", "PYSPARK_DRIVER_PYTHON"),  # the settings say that these are left out
    }
)
"""Names with these prefixes affect nothing else."""

_PROXIES = frozenset({"http_proxy", "https_proxy", "all_proxy", "ftp_proxy"})


def effect(name: str) -> str | None:
    """Return how a variable affects more of a job than the environment's own packages; None if it does not."""
    if name in _HARMLESS:
        return None
    if name.lower() in _PROXIES:
        return "programs of the job send their requests through this address"
    beginnings = (text for beginning, text in _OF_BEGINNINGS.items() if name.startswith(beginning))
    return _OF_NAMES.get(name) or next(beginnings, None)
