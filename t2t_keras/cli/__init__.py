"""The commands' work: from a config to a result that is printed."""
