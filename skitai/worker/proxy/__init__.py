"""The forward proxy: requests and tunnels of clients, to servers that they name."""
