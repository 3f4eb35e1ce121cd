"""Who is it: recognisers, exact search in a gallery, and what counts as a leak."""
