"""Print from where a Spark session's executors import the packages of a release, compared with its manifest.

`envpack settings --check` prints it. Paste it into the session, where `spark` is. It uses nothing that Python 3.8
lacks.
"""

RELEASE = ""
EXPECTED = {}  # name: version
PYTHON = ""


def imported(_=None):
    import glob, importlib, os, platform, socket, sys
    from importlib import metadata

    def inside(path):
        return bool(path) and os.path.abspath(path).startswith(os.path.abspath(sys.prefix) + os.sep)

    def same(one, other):
        return one.split("+")[0] == other.split("+")[0]

    def found(name):
        try:
            there = metadata.distribution(name)
        except metadata.PackageNotFoundError:  # a conda package that is no project of Python's
            records = glob.glob(os.path.join(glob.escape(sys.prefix), "conda-meta", f"{name}-*-*.json"))
            return next(((os.path.basename(each).rsplit("-", 2)[1], each) for each in records), ("none", ""))
        files = [str(file) for file in there.files or () if str(file).endswith((".py", ".so"))]
        tops = {file.partition("/")[0].partition(".")[0] for file in files} - {"", "__pycache__"}
        wanted = name.lower().replace("-", "_").replace(".", "_")
        for top in sorted(tops, key=lambda top: (top.lower() != wanted, top.startswith("_"), top)):
            try:
                module = importlib.import_module(top)
            except Exception as error:
                return f"{there.version} ({top}: {type(error).__name__}: {error})", ""
            return there.version, getattr(module, "__file__", None) or ""
        return there.version, str(there.locate_file(""))

    lines = [(platform.python_version(), PYTHON, "python", sys.executable)]
    for name, version in EXPECTED.items():
        there, file = found(name)
        lines.append((there, version, name, file))
    answers = []
    for there, version, name, file in lines:
        word = "ok" if same(there, version) and inside(file) else "DIFFERS"
        answers.append(f"{socket.gethostname()}: {word} {name} {there} from {file or 'nowhere'}")
    return answers


if __name__ == "__main__":
    _there = globals()["spark"].sparkContext
    _lines = sorted(set(_there.parallelize(range(64), 64).flatMap(imported).collect()))
    print(*_lines, sep="\n")
    _others = sum(": DIFFERS " in line for line in _lines)
    print(f"{_others} of {len(_lines)} differ from {RELEASE}")
