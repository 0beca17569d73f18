"""What processes say to each other: shared memory, the link between master and child, the control socket, the files of
the run directory and the service manager's datagrams.
"""
