"""Which releases of a store may go, and how they go."""
