"""What a request costs: this server and its peers, on the same apps, in one run (`python -m benchmarks`)."""
