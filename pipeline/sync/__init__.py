"""Copies of finished artifacts between stores: folders, and mirrors of artifacts at an address."""
