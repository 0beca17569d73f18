"""Processes beside the workers: the mail agent and the task scheduler. The master keeps them running as it does workers."""
