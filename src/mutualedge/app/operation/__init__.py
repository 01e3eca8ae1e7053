"""Keeps a consortium of one machine running, and tells how it is."""
