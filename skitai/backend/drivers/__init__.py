"""One driver for each kind of back-end; each is imported when an alias or a call first needs it."""
