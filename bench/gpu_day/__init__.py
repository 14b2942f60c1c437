"""What to run on a day with a GPU: suspected faults, the test suites and the benchmark, each
bounded in time."""
