"""`make bench`: how fast updates and rollouts are, and how their cost grows.

timing     compiled programs, medians of interleaved repetitions
flops      what a network's step costs, and the peak of the machine
usual      the memory of the variant that all others are compared with
workloads  the benchmarks and their variants of a whole update
physics    a rollout alone, and the physics alone
peer       the same network and the same update in PyTorch
rows       the table and bench.json
memories   what each memory costs, behind its table and memories.png
scaling    the sweeps behind scaling.png, which `picture` draws
"""
