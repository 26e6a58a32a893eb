"""One training in several processes: who does what, what is summed, what is agreed upon, and how all of them end."""
