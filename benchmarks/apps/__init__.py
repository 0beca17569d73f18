"""The apps that every server of the comparison runs."""
