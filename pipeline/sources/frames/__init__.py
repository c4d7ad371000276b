"""Folders of screens and action texts in."""
