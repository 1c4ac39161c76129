"""Interceptors: which events go on through a trigger, and what is added to them."""
