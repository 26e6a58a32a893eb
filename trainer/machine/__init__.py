"""What trainings ask of the computer: its cores, and memory that stays with the process."""
