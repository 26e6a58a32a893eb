"""The computer: its devices and memory, files that appear whole or not at all, and what compiled code prints."""
