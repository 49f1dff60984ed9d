"""Run a module of the code that `envpack submit` has packed: CODE ENVIRONMENT MODULE [ARGUMENT]..."""

import os
import runpy
import sys


def main():
    code, environment, module = sys.argv[1:4]
    del sys.argv[1:4]
    name = code + ".zip"
    places = [os.path.join(place, name) for place in (os.getcwd(), os.path.dirname(os.path.abspath(__file__)))]
    found = [path for path in sys.path + places if os.path.basename(path) == name and os.path.isfile(path)]
    if not found:
        sys.exit("envpack: the code " + name + " was not sent to the driver: submit it with --py-files or pyFiles")
    sys.path.insert(0, found[0])
    sys.stderr.write("envpack: code " + code + ", environment " + environment + "\n")
    sys.stderr.flush()
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
