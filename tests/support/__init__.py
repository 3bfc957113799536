"""What the tests are written with: probes, oracles, recorded runs, the house rules."""
