"""The packages of an environment: what each is, needs and is licensed under."""
