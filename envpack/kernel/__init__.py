"""Make Jupyter kernels that run releases."""
