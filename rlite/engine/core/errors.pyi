TEXTS: tuple[str, ...]
