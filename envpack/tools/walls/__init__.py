"""The walls of a cage, built by the process that becomes the caged command.

`envpack.tools.cage` starts `launcher.py` with `python -I -S`: only the standard library can be imported here, and
each import costs time in every run of packaged code.
"""
