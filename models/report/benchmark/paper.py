"""The paper's figures for its benchmark, as printed in Tables 3 to 10; shares of 1, distances, px, degrees, dB.

They were measured on the paper's own MeMa (generated photographs of faces) and, for Tables 4 and 6, on 129
patients of a hospital. None has an interval, and Table 6 has no n.
"""

from collections.abc import Mapping

OURS = "MedSem-DeID"  # the paper's own method
REVERSIBLE = {
    "DeepPrivacy": False, "CIAGAN": False, "Disguise": False, "Password": True, "Personal": True,
    "RiDDLE": True, OURS: True,
}  # fmt: skip
Figures = Mapping[str, Mapping[str, float]]  # by method, then by column

_SIGNS = ("all", "bcc", "conjunctivitis", "normal", "ptosis", "scc", "strabismus", "tao", "uveitis")
_MEDICAL = {
    "DeepPrivacy": (40.80, 91.20, 4.52, 80.38, 69.10, 0.95, 3.66, 59.23, 17.32, 0.0041, 0.0021),
    "CIAGAN": (41.36, 30.96, 3.85, 96.93, 49.36, 13.52, 7.33, 31.81, 97.11, 0.1280, 0.0757),
    "Disguise": (76.01, 57.19, 95.32, 98.63, 90.68, 58.29, 37.00, 90.69, 80.31, 0.2751, 0.1984),
    "Password": (54.21, 43.99, 95.99, 87.37, 47.53, 52.38, 5.93, 79.26, 21.22, 0.6336, 0.5192),
    "Personal": (30.17, 67.17, 9.69, 61.95, 31.99, 4.19, 2.09, 33.39, 30.90, 0.0136, 0.0073),
    "RiDDLE": (30.01, 29.27, 0.00, 74.40, 58.32, 0.00, 0.00, 4.04, 74.02, 0.0031, 0.0017),
    OURS: (86.70, 96.45, 99.83, 98.98, 92.32, 87.05, 63.70, 97.72, 57.56, 0.6775, 0.5453),
}
# Table 3. "All" is the mean over the eight classes.
MEDICAL: Figures = {
    method: {name: value / 100 for name, value in zip(_SIGNS, values[:9], strict=True)}
    | {"dice": values[9], "jaccard": values[10]}
    for method, values in _MEDICAL.items()
}
# Table 4: Cohen's kappa between the diagnoses of the original and of the de-identified image, 129 patients.
CLINICAL: Figures = {
    "Digital Mask": {"bcc": 0.0566, "tao": 0.8159, "ptosis": 0.8276, "entropion": 0.1879, "eyelid_nevus": 0.0988},
    "Disguise": {"bcc": 0.7534, "tao": 0.5824, "ptosis": 0.7134, "entropion": 0.2467, "eyelid_nevus": 0.1387},
    "Password": {"bcc": 0.4657, "tao": 0.2758, "ptosis": 0.4289, "entropion": 0.1329, "eyelid_nevus": 0.0459},
    "RiDDLE": {"bcc": 0.1201, "tao": 0.0751, "ptosis": 0.0826, "entropion": 0.0937, "eyelid_nevus": 0.0811},
    OURS: {"bcc": 0.8245, "tao": 0.8278, "ptosis": 0.8302, "entropion": 0.8256, "eyelid_nevus": 0.8346},
}
# Table 5: ID-Dis.
RECOGNISERS = {"facenet_vggface2": "FaceNet (VGGFace2)", "facenet_casia": "FaceNet (CASIA)", "sphereface": "SphereFace"}
_DISTANCE = {
    "DeepPrivacy": (1.1548, 1.1831, 1.1818),
    "CIAGAN": (1.2843, 1.2566, 1.2881),
    "Disguise": (1.3976, 1.3607, 1.3128),
    "Password": (1.3380, 1.3139, 1.2629),
    "Personal": (1.2819, 1.2944, 1.2351),
    "RiDDLE": (1.4278, 1.3694, 1.3583),
    OURS: (1.4007, 1.3609, 1.3601),
}
IDENTITY: Figures = {name: dict(zip(RECOGNISERS, values, strict=True)) for name, values in _DISTANCE.items()}
# Table 6: share of patients whose de-identified photo is matched with their photo on the identity card.
MATCH_RATE = {"DeepPrivacy": 0.0576, "Password": 0.0776, "Disguise": 0.0289, "RiDDLE": 0.0213, OURS: 0.0176}
# Table 7. Of the paper's own method, the text alone gives two of the six figures in the copy at hand.
UTILITY: Figures = {
    "DeepPrivacy": {"all": 193.91, "eye": 5.86, "mouth": 155.02, "nose": 33.02, "pitch": 7.72, "yaw": 7.06},
    "CIAGAN": {"all": 313.36, "eye": 23.87, "mouth": 215.11, "nose": 74.37, "pitch": 13.00, "yaw": 7.78},
    "Disguise": {"all": 94.09, "eye": 5.78, "mouth": 67.29, "nose": 21.01, "pitch": 4.85, "yaw": 5.71},
    "Password": {"all": 65.90, "eye": 4.38, "mouth": 42.52, "nose": 18.98, "pitch": 5.34, "yaw": 9.97},
    "Personal": {"all": 109.46, "eye": 5.87, "mouth": 71.20, "nose": 32.38, "pitch": 7.24, "yaw": 7.45},
    "RiDDLE": {"all": 136.79, "eye": 5.73, "mouth": 91.28, "nose": 39.77, "pitch": 7.01, "yaw": 7.93},
    OURS: {"eye": 2.94, "pitch": 3.96},
}
# Table 8: the image recovered with the right password.
REVERSIBILITY: Figures = {
    "Password": {"id_dis": 0.6382, "psnr": 26.29, "lpips": 0.2752, "med_class": 0.6799},
    "Personal": {"id_dis": 0.5723, "psnr": 25.92, "lpips": 0.2240, "med_class": 0.7308},
    "RiDDLE": {"id_dis": 0.8593, "psnr": 14.00, "lpips": 0.3732, "med_class": 0.4746},
    OURS: {"id_dis": 0.5642, "psnr": 27.02, "lpips": 0.2098, "med_class": 0.8934},
}
# Table 9: trained on, with f_med, with L_med; ID-Dis by SphereFace. The text gives 1.3689 for M1.
MODELS = {
    "M1": ("FFHQ", False, False),
    "M2": ("MeMa", False, False),
    "M3": ("MeMa", True, False),
    "M4": ("MeMa", False, True),
    "full": ("MeMa", True, True),
}
ABLATION: Figures = {
    "M1": {"id_dis": 1.3609, "med_class": 0.4213},
    "M2": {"id_dis": 1.3609, "med_class": 0.4682},
    "M3": {"id_dis": 1.3602, "med_class": 0.6994},
    "M4": {"id_dis": 1.3601, "med_class": 0.7135},
    "full": {"id_dis": 1.3601, "med_class": 0.8670},
}
# Table 10.
ENCODERS: Figures = {
    "vit": {"med_class": 0.8297, "id_dis": 1.3600},
    "vit_mae": {"med_class": 0.8526, "id_dis": 1.3601},
    "diffusion": {"med_class": 0.8670, "id_dis": 1.3601},
}
# Fig. 8 prints curves without numbers; only the weights that the paper settled on are known.
SETTLED = {"lambda_med": 5.0, "lambda_rev": 0.1}
