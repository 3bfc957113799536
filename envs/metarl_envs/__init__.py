"""Task families, one module each: a factory function that returns a `metarl_jax.TaskDistribution`.

Every environment is a gymnax 1.x environment whose task is its params pytree. Nothing is imported
here, so that one family never pays for the libraries of another.
"""
