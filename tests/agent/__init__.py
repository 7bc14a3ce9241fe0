"""The wire, and real agents with real HAProxies and real traffic on loopback."""
