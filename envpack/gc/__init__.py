"""Choose the old releases of a store and delete them."""
