"""Rendering: what HAProxy is told, that no tenant can add a word to it, and what it does with it."""
