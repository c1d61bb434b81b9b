"""The key, expiry and connection commands of the core. `COMMANDS` (Python) maps their names to CoreCommand objects."""
