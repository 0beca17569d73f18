"""HTTP/2 connections: many exchanges at a time over one core."""
