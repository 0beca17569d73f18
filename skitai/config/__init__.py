"""Configuration as data: one frozen tree per generation, with the source of every value.

Read `tree` (every option once), `draft` (what the calls of a script collect), `sources` (file, environment, calls, flags),
`values` (each of its type), `targets` and `mounts` (what is served where), then `check`, which makes of all this a tree, or
one error that names every fault. `reference` prints the options for people; `disk` alone looks at the file system.
"""
