class UnbalancedQuotes(ValueError): pass
def split_args(line): return line.split()
