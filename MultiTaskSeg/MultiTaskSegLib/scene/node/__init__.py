"""Small things done to nodes: columns of tables, places in the hierarchy, all added or none, names of software."""
