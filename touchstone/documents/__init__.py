"""YAML with places, what is wrong with it, the names in it, and CEL."""
