"""The supervisor: keeps programs running, replaces what is ill, reloads without losing a request. Knows no HTTP.

Read `program` (what is kept running), `children` (book-keeping), `policy` (pure decisions), then `supervisor` (the loop).
"""
