"""Presets: task families with the settings that learn them, one module a family."""
