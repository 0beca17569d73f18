"""Configuration as data: one frozen tree per generation, with the source of every value.

Read `tree` (every option once), then `draft` (what the calls of a script collect), then `check` (a draft, a file, the
environment and flags become a tree, or one error that names every fault).
"""
