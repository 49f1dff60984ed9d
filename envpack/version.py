"""The version of envpack, from its package metadata."""

VERSION = "0.1.0"
