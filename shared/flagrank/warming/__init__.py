"""What is judged before anyone asks: the heads that requests will have, what of them nobody has judged, and its price.

Imports the serving wing, whose pipeline says what a head is. `cli` and `functions` may import it.
"""
