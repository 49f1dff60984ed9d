"""The packages of an environment: their names, dependencies and licences."""
