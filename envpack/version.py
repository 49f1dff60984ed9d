"""The version of envpack, as its package metadata has it."""

VERSION = "0.1.0"
