"""What a process sets up before jax starts: devices, compilation cache, peers, output."""
