"""The words of consent, refusal and withdrawal, in a cell, a heading or a remark, in four languages."""

import re

from models.records.vocabulary import index

CONSENTS = index({
    "yes": "yes, y, true, 1, given, signed, granted, obtained, agreed, consented, accepted, written consent,"
    " ja, j, wahr, erteilt, unterschrieben, eingewilligt, liegt vor, vorhanden, oui, vrai, signé, donné,"
    " accordé, obtenu, accepté, consent given, informed consent given, 是, 同意, 已同意, 已签, 已签署, 有",
    "no": "no, n, false, 0, none, nil, nein, non, keine, keiner, aucun, aucune, sans, 否, 不, 无, 没有",
})  # fmt: skip
# Anything of these in a consent cell refuses, whatever else is said there
REFUSAL = re.compile(
    r"\b(no|not|non|nein|nicht|ne|pas|kein\w*|keine\w*|without|ohne|sans|never|nie|jamais|refus\w*|declin\w*|"
    r"den(y|ied)\w*|revo[kc]\w*|withdr\w*|reject\w*|object\w*|opt(ed)? ?out|retract\w*|cancel\w*|expired|"
    r"widerr\w*|widerspr\w*|zuruck\w*|zurueck\w*|verweiger\w*|abgelehnt|ablehn\w*|entzogen|abgelaufen|ungultig|"
    r"retir\w*|retrait|oppos\w*|annul\w*|expire|faux|falsch)\b|[不未否拒撤无没退销]"
)  # applied to `words`

# A heading of these, in `words`, tells of consent or of its end whatever else it says: "Widerrufsdatum"
OF_WITHDRAWAL = re.compile(
    r"wi(e)?derr|widerspr|withdr|revo[kc]|opt(ed)? ?out|refus|declin|\bobject(s|ed|ion|ions)?\b|zuruckgez|zuruckgen|"
    r"verweig|abgelehnt|ablehn|retrait|retire|retract|oppos|erasure|deletion|losch|[撤拒]|退出|"
    r"\bdo not use|nicht (mehr )?verwend|\bgesperrt|\bsperr(e|en|ung|vermerk)?\b|\bblocked|studienabbruch|study exit|"
    r"\bdrop(ped)? ?out|\bexcluded\b|\beinw(illigung)? zurue?ck|删除|停用"
)
OF_CONSENT = re.compile(r"consent|einwill|\beinw\b|einverst|zustimm|\baccord\b|同意|授权")
# A remark that ends consent: outright, beside a word of consent, or about what may be done with the photo
WITHDRAWS = re.compile(
    r"wi(e)?derruf|widerspr[ou]ch|withdr[ae]w|revok|revoqu|\bopt(ed|s)? ?out\b|撤回|撤销|退出|要求删除|"
    r"\b(do not|don t|not to be) use|\bnicht (mehr )?(verwend|nutz|benutz|teilnehm|mitmach)|\bzuruck(genommen|gezogen)|"
    r"\bgesperrt\b|\b(no longer|not) (\w+ ){0,2}(participat|take part)|\bne (souhaite|veut) (plus|pas)|\bstudy exit|"
    r"\bdrop(ped)? ?out\b|\b(gdpr|dsgvo|rgpd)\b.*(17|request|antrag|demande|losch|eras|delet)|\berasure\b"
)
USE_OF_PHOTOS = re.compile(
    r"(?=.*(photo|foto|bild|image|picture|cliche|daten|\bdata\b|donnees|照片|图|数据))"
    r"(?=.*(\b(use\w*|publi\w*|want\w*|wish\w*|allow\w*|agree\w*|delet\w*|eras\w*|verwend\w*|nutz\w*|"
    r"veroffentlich\w*|mochte|wunscht?|erlaub\w*|losch\w*|geloscht|utilis\w*|veut|souhait\w*|supprim\w*)\b|"
    r"使用|公开|发表|删除))"
)
DELETES = re.compile(r"\b(delet|eras|losch|gelosch|supprim)\w*|删除")
