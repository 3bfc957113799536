"""What a person sees of a run: lines and a live view on the console, and figures.

Nothing is imported here: a run without figures never pays for matplotlib.
"""
