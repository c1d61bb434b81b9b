"""The string commands, one function each. `COMMANDS` (Python) maps their names to CoreCommand objects."""
