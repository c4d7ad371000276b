"""Domains: tasks under the names that people write, and the words that simulators and sources share."""
