"""Tests of the wire, and of real agents with real HAProxies and real traffic on loopback."""
