"""The benchmarks behind `gateway bench`."""
