"""What only the OODCheck module needs."""
