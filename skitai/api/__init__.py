"""The public functions: each writes a line or two into the draft; `run` hands it to the command line, which starts.

A script may be imported again, by a worker for instance: then the draft is closed and these functions change nothing.
"""
