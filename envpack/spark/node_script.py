"""Say what this node has configured for Python, and what keeps it from winning over an archive.

`envpack doctor --node` prints it. Run it with any Python on a node, or paste it into a Spark session: where
there is a `spark`, its executors answer too. It uses nothing that Python 3.6 lacks.
"""

KNOWN = {}  # name of a variable: what keeps it from winning
PATHS = ()  # the names of those whose values are shown


def node(_=None):
    import glob, os, socket

    seen, pid = {}, "self"
    while pid != "0":  # bin/python unsets some, so those of the processes above this one count, too
        try:
            with open(f"/proc/{pid}/environ", "rb") as file:
                pairs = [os.fsdecode(pair).partition("=") for pair in file.read().split(b"\0")]
            with open(f"/proc/{pid}/stat") as file:
                pid = file.read().rpartition(")")[2].split()[1]
        except OSError:
            break
        for name, _, value in pairs:
            if value and name in KNOWN:
                seen.setdefault(name, set()).add(value)
    lines = []
    for name in sorted(seen):
        values = " and ".join(sorted(seen[name])) if name in PATHS else "set"
        lines.append(f"{name}: {values}; remedy: {KNOWN[name]}")
    for folder in glob.glob(os.path.expanduser("~/.local/lib/python3*/site-packages")):
        lines.append(f"{folder} has packages of this user; remedy: {KNOWN['PYTHONUSERBASE']}")
    for folder in os.environ.get("LD_LIBRARY_PATH", "").split(":"):
        for library in glob.glob(os.path.join(folder or ".", "libstdc++.so.6")):
            lines.append(f"{library} comes before the machine's own; remedy: {KNOWN['LD_LIBRARY_PATH']}")
    if not os.path.isfile("/usr/share/zoneinfo/UTC"):
        lines.append("/usr/share/zoneinfo is missing: pyarrow knows no time zones; remedy: the node's tzdata")
    if not os.access("/bin/sh", os.X_OK):
        lines.append("/bin/sh is missing: bin/python, which is a script, cannot start; remedy: a shell")
    return [f"{socket.gethostname()}: {line}" for line in lines or ["nothing that could win over an archive"]]


if __name__ == "__main__":
    print(*node(), sep="\n")
if __name__ == "__main__" and "spark" in globals():
    _there = globals()["spark"].sparkContext
    print(*sorted(set(_there.parallelize(range(64), 64).flatMap(node).collect())), sep="\n")
