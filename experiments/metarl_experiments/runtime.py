"""What must be set before jax makes its first array."""

import os
from pathlib import Path


def cache_folder() -> Path:
    """Where compiled programs are kept between starts."""
    if folder := os.environ.get("JAX_COMPILATION_CACHE_DIR"):
        return Path(folder)
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "metarl_jax" / "compiled"


def configure_jax() -> None:
    """Turns the persistent compilation cache on; a program compiled once starts at once."""
    import jax

    folder = cache_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return  # a cache is a convenience: without a place for it, programs compile each time
    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.2)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", 0)
