"""The library of step types: one package a family, one module a step type."""
