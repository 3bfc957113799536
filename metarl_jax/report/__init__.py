"""What a person sees of a run: lines and a live view on the console, figures, and a page.

Nothing is imported here: a run without figures never pays for matplotlib. What the page is made of
lies in `page/`: its template, its style, and scripts that draw the data written into it.
"""
