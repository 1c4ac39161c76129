"""Model to verdict: one package a gate. Gates measure and return; they never print or exit."""
