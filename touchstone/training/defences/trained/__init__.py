"""Defences that change training: a module a method, whose `wrap` makes the trained spec."""
