"""Lua scripting: the sandbox, how values cross its border, and the libraries they expect (lupa's Lua 5.1)."""
