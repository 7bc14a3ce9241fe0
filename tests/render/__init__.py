"""Tests of rendering: the configuration that HAProxy gets, that no tenant can inject a word into it, and how HAProxy
serves with it."""
