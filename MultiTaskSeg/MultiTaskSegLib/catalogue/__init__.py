"""Which model a panel uses: the list to choose from, what is added to it and taken off, and what is said of it."""
