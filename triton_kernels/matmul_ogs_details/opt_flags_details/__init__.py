"""How the tiles of a product are chosen: what is known of it, and the rules of each vendor."""
