"""Classical agents, as policies that nobody trains."""
