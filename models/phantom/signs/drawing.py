def draw_sign(image, eyes, disease, severity, eye, rng):
    import numpy as np
    return image, np.zeros(image.shape[:2], np.uint8)
