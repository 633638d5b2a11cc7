"""What `load-tests/run` measures: one module for each measurement, and what they share."""
