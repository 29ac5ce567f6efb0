"""What `make bench` does: alternating measurements, rows with targets, and their rendering."""
