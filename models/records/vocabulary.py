"""The words that hospitals write into tables, in English, German, French and Chinese; the one place for them.

Words are written as people write them and compared by `key`: without case, accents, spaces and punctuation.
"""

import re
import unicodedata
from functools import lru_cache

# Letters that nobody sees and that are no format or control characters to Unicode
INVISIBLE = "\u034f\u115f\u1160\u2800\u3164\uffa0" + "".join(map(chr, range(0xFE00, 0xFE10)))


# Letters of Cyrillic and Greek that look like these of Latin
LOOKALIKES = str.maketrans("АВЕКМНОРСТХІЈЅаеорсухіјѕΑΒΕΖΗΙΚΜΝΟΡΤΥΧο", "ABEKMHOPCTXIJSaeopcyxijsABEZHIKMNOPTYXo")


def lookalike(text: str) -> str:
    """Return the text with Latin letters for those that nobody tells from them."""
    return text if text.isascii() else text.translate(LOOKALIKES)


def visible(text: str) -> str:
    """Return the text in one Unicode form, without invisible letters, with single plain blanks."""
    if text.isascii() and text.isprintable():
        return " ".join(text.split())
    composed = unicodedata.normalize("NFKC", text)
    kept = (
        " " if letter.isspace() else letter
        for letter in composed
        if letter.isspace() or not (unicodedata.category(letter) in ("Cf", "Cc") or letter in INVISIBLE)
    )
    return " ".join("".join(kept).split())


@lru_cache(1 << 16)
def words(text: str) -> str:
    """Return the words of a text in lower case, without accents and punctuation, a blank between them."""
    plain = unicodedata.normalize("NFKD", visible(text)).casefold()
    plain = "".join(letter for letter in plain if unicodedata.category(letter) != "Mn")
    return re.sub(r"[\W_]+", " ", plain).strip()


def key(text: str) -> str:
    """Return what two spellings of one word share."""
    return words(text).replace(" ", "")


def index(table: dict[str, str]) -> dict[str, str]:
    """Return word -> meaning of `meaning: "word, word ..."`; a word of two meanings is our own mistake."""
    found: dict[str, str] = {}
    for meaning, listed in table.items():
        for word in listed.split(","):
            assert found.setdefault(key(word), meaning) == meaning, word
    found.pop("", None)
    return found


HEADINGS = index({
    "patient_id": "patient id, patient, pid, mrn, patient no, patient nr, patient number, subject, subject id,"
    " medical record number, hospital number, patienten id, patienten nr, patientennummer, pat id, pat nr,"
    " identifiant patient, identifiant, id patient, ipp, numero patient, n patient, no patient, code patient,"
    " 患者id, 病人id, 患者编号, 病人编号, 患者号, 病历号, 病案号, 登记号, 患者",
    "file": "file, filename, photo, photo file, photo name, image, image file, image name, picture, path,"
    " file path, image path, photo path, datei, dateiname, bild, bilddatei, bildname, foto, fotodatei, pfad,"
    " dateipfad, fichier, nom du fichier, nom de fichier, fichier photo, fichier image, chemin, cliche,"
    " 文件, 文件名, 图片, 图片名, 图片文件, 照片, 照片名, 照片文件, 照片文件名, 图像, 图像文件, 影像, 路径, 文件路径",
    "consent": "consent, informed consent, consent given, consent status, patient consent, photo consent,"
    " consent to publication, einwilligung, einwilligung erteilt, einwilligungserklärung, einwilligungsstatus,"
    " einverständnis, einverständniserklärung, zustimmung, consentement, consentement éclairé,"
    " consentement patient, accord, accord patient, 知情同意, 同意, 同意书, 知情同意书, 是否同意, 患者同意",
    "withdrawal": "withdrawn, withdrawal, consent withdrawn, withdrawal of consent, withdrawn on, revoked,"
    " opt out, refused, refusal, objection, widerruf, widerrufen, einwilligung widerrufen, widerruf am,"
    " widerspruch, retrait, retrait du consentement, consentement retiré, opposition, refus, révocation,"
    " 撤回, 撤回同意, 撤销, 撤销同意, 是否撤回, 拒绝",
    "diagnosis_code": "diagnosis code, icd10, icd, code, icd code, icd10 code, icd10 gm, icd10 cm, dx code,"
    " diagnosis icd10, diagnosis icd, diagnose icd10, diagnose icd, diagnosecode, diagnoseschlüssel,"
    " diagnosenschlüssel, icd schlüssel, cim10, cim, code cim, code cim10, code diagnostic, diagnostic cim10,"
    " icd编码, icd10编码, 诊断编码, 诊断代码, 疾病编码, 疾病代码, 诊断icd10",
    "diagnosis": "diagnosis, diagnosis text, disease, condition, dx, main diagnosis, primary diagnosis, diagnose,"
    " diagnosetext, hauptdiagnose, krankheit, erkrankung, diagnostic, diagnostic principal, pathologie, maladie,"
    " 诊断, 临床诊断, 主要诊断, 诊断结果, 疾病, 疾病名称",
    "certainty": "certainty, diagnosis certainty, diagnosesicherheit, diagnosensicherheit, sicherheit,"
    " certitude, certitude diagnostique, 诊断确定性",
    "age": "age, age years, age at visit, age at photo, age at exam, patient age, alter, lebensalter,"
    " patientenalter, alter jahre, âge, âge du patient, âge ans, 年龄, 岁数, 年龄岁",
    "gender": "gender, sex, patient sex, geschlecht, sexe, genre, 性别",
    "eye": "eye, affected eye, study eye, laterality, side, auge, betroffenes auge, seite, lateralität,"
    " seitenlokalisation, œil, oeil, œil atteint, oeil atteint, côté, latéralité, 眼别, 患眼, 眼睛, 眼, 侧别, 左右眼",
    "visit_date": "visit date, visit, date, date of visit, exam date, examination date, date of examination,"
    " photo date, datum, besuchsdatum, visitendatum, untersuchungsdatum, aufnahmedatum, fotodatum, date de visite,"
    " date visite, date de consultation, date consultation, date d'examen, date examen, 日期, 就诊日期, 检查日期,"
    " 拍摄日期, 就诊时间, 检查时间, 拍摄时间",
    "record_id": "record id, visit id, row id, id, record, record no, lfd nr, laufende nummer, zeilennummer,"
    " 记录编号, 记录号, 序号",
})  # fmt: skip

# What a line that sums up or ends a list begins with
SUMS = frozenset(words(
    "total totals sum subtotal count end page summe gesamt anzahl zwischensumme ende seite somme nombre fin 合计 总计"
).split())  # fmt: skip

# Headings of further diagnoses, in `words`
OF_DIAGNOSIS = re.compile(
    r"diagnos|\bdx ?\d*\b|\bicd|\bcim|disease|erkrank|krankheit|maladie|patholog|comorbid|komorbid|诊断|疾病"
)

GENDERS = index({
    "male": "m, male, man, boy, männlich, maennlich, mann, herr, junge, homme, masculin, h, garçon, 男, 男性, 1",
    "female": "f, female, woman, girl, w, weiblich, frau, mädchen, maedchen, femme, féminin, fille, 女, 女性, 2",
    # said, and neither of the two that the profile knows; ISO 5218: 0 not known, 1 male, 2 female, 9 not applicable
    "other": "0, 9, divers, d, x, other, o, diverse, non binary, nonbinary, intersex, inter, andere, anders, autre,"
    " indéterminé, 其他, 其它",
})  # fmt: skip

EYES = index({
    "right": "right, r, od, o.d., re, right eye, dexter, rechts, rechtes auge, ra, rechte, droit, droite, œil droit,"
    " oeil droit, 右, 右眼, 右侧",
    "left": "left, l, os, o.s., le, left eye, sinister, links, linkes auge, la, linke, gauche, g, og, œil gauche,"
    " oeil gauche, 左, 左眼, 左侧",
    "both": "both, ou, o.u., b, both eyes, be, bilateral, beide, beide augen, bds, beidseits, beidseitig, ba,"
    " bilatéral, les deux, les deux yeux, deux yeux, odg, ods, od os, os od, od og, r l, l r, right left,"
    " left right, rechts links, links rechts, 双, 双眼, 双侧, 两眼, 左右",
})  # fmt: skip

# A mark that turns a word into a question, a range or its opposite
MARKED = re.compile(r"[?？¿؟‽!！~∅≈≠¬<>*=±]|^\s*[-–—−+]|(?<=\s)[-–—−](?=\s|$)|\(\s*[-–—−+]|[-–—−]$")

# What stands for "nothing is stated here"
PLACEHOLDERS = frozenset(map(key, (
    "na", "n/a", "nan", "nat", "none", "null", "nil", "unknown", "unk", "unkn", "not known", "not available",
    "not stated", "not applicable", "missing", "undefined", "blank", "empty", "tbd", "tba", "todo", "unbekannt",
    "unbek", "keine angabe", "k.a.", "kA", "o.A.", "ohne angabe", "fehlt", "fehlend", "leer", "inconnu", "inconnue",
    "non renseigné", "nr", "nsp", "sans", "aucun", "aucune", "manquant", "indisponible", "未知", "不详", "不明",
    "无", "没有", "缺失", "空", "待补", "未填",
)))  # fmt: skip
# What stands for the cell above
DITTO = tuple(
    map(key, ("same", "idem", "dito", "ditto", "see above", "as above", "siehe oben", "s.o.", "wie oben", "同上"))
)
# And what nobody's identity is
NOBODY = PLACEHOLDERS | frozenset(map(key, (
    "test", "testpatient", "test patient", "tester", "testing", "patient", "patients", "demo", "dummy", "example",
    "sample", "beispiel", "muster", "exemple", "anonymous", "anonym", "anonyme", "anonymized", "anonymised",
    "anonymisiert", "anonymisé", "deidentified", "pseudonym", "various", "multiple", "diverse", "divers", "other",
    "new", "neu", "nouveau", *DITTO, "yes", "no", "true", "false",
    "ja", "nein", "oui", "non", "匿名", "测试", "患者", "病人",
)))  # fmt: skip

MONTHS = {
    word: number
    for number, listed in enumerate((
        "jan january januar jänner jaenner janvier janv", "feb february februar feber février fevr fev févr",
        "mar march märz maerz mrz mars mär", "apr april avril avr", "may mai", "jun june juni juin",
        "jul july juli juillet juil", "aug august août aout", "sep sept september septembre",
        "oct october okt oktober octobre", "nov november novembre", "dec december dez dezember décembre déc",
    ), 1)
    for word in map(key, listed.split())
}  # fmt: skip

YEARS = index({
    "1": "y, yr, yrs, year, years, years old, year old, yo, j, jr, jahr, jahre, jahren, a, an, ans, année,"
    " années, 岁, 周岁",
    "12": "m, mo, mos, mon, mth, mths, month, months, months old, monat, monate, monaten, mois, 月, 个月, 月龄",
    "52.1775": "w, wk, wks, week, weeks, woche, wochen, wo, semaine, semaines, sem, 周, 周龄",
    "365.2425": "d, day, days, days old, t, tag, tage, tagen, jour, jours, 天, 日龄",
})  # fmt: skip

# Diagnoses: texts, and ICD-10 codes that each stand for themselves and all their sub-codes -> class
DIAGNOSES: dict[str, tuple[str, tuple[str, ...]]] = {
    "normal": (
        "normal, healthy, no finding, no findings, no abnormality, no abnormalities, control, healthy control,"
        " unremarkable, within normal limits, gesund, ohne befund, o.b., kein befund, normalbefund, unauffällig,"
        " sain, sans anomalie, pas d'anomalie, aucune anomalie, témoin, 正常, 健康, 未见异常, 无异常, 健康对照",
        (),
    ),
    "bcc": (
        "bcc, basal cell carcinoma, basalioma, basaliom, rodent ulcer, basalzellkarzinom, basalzellcarcinom,"
        " carcinome basocellulaire, carcinome baso cellulaire, 基底细胞癌, 基底细胞瘤",
        ("C44.11",),
    ),
    "conjunctivitis": (
        "conjunctivitis, pink eye, bacterial conjunctivitis, viral conjunctivitis, konjunktivitis,"
        " allergic conjunctivitis, acute conjunctivitis, bindehautentzündung, bakterielle konjunktivitis,"
        " virale konjunktivitis, allergische konjunktivitis, conjonctivite, conjonctivite virale,"
        " conjonctivite bactérienne, conjonctivite allergique, 结膜炎, 细菌性结膜炎, 病毒性结膜炎, 过敏性结膜炎",
        ("H10", "B30"),
    ),
    "uveitis": (
        "uveitis, anterior uveitis, iritis, iridocyclitis, panuveitis, uveitis anterior, vordere uveitis,"
        " anteriore uveitis, iridozyklitis, uvéite, uvéite antérieure, iridocyclite, panuvéite,"
        " 葡萄膜炎, 前葡萄膜炎, 虹膜炎, 虹膜睫状体炎, 全葡萄膜炎",
        ("H20", "H44.11"),
    ),
    "ptosis": (
        "ptosis, blepharoptosis, eyelid ptosis, ptosis of eyelid, drooping eyelid, congenital ptosis, lidptosis,"
        " oberlidptosis, kongenitale ptosis, ptosis congenita, ptosis palpébral, ptose, blépharoptose,"
        " 上睑下垂, 眼睑下垂, 先天性上睑下垂",
        ("H02.4", "Q10.0"),
    ),
    "scc": (
        "scc, squamous cell carcinoma, spinalioma, spinaliom, plattenepithelkarzinom, plattenepithelcarcinom,"
        " carcinome épidermoïde, carcinome spinocellulaire, 鳞状细胞癌, 鳞癌",
        ("C44.12",),
    ),
    "strabismus": (
        "strabismus, squint, esotropia, exotropia, hypertropia, heterotropia, schielen, innenschielen,"
        " außenschielen, strabismus convergens, strabismus divergens, strabisme, strabisme convergent,"
        " strabisme divergent, ésotropie, exotropie, 斜视, 内斜视, 外斜视, 共同性斜视",
        ("H49", "H50"),
    ),
    "tao": (
        "tao, thyroid associated ophthalmopathy, thyroid eye disease, ted, graves ophthalmopathy,"
        " graves orbitopathy, thyroid associated orbitopathy, endocrine orbitopathy, dysthyroid exophthalmos,"
        " thyroid orbitopathy, endokrine orbitopathie, endokrine ophthalmopathie, orbitopathie dysthyroïdienne,"
        " ophtalmopathie basedowienne, orbitopathie basedowienne, 甲状腺相关眼病, 甲状腺相关性眼病, 甲状腺眼病",
        ("H06.2",),
    ),
}
# An examination without abnormal findings; each sub-code beside these is one with findings
NORMAL_CODES = ("Z00.0", "Z00.00", "Z01.0", "Z01.00", "Z01.020")
TEXTS = index({name: texts for name, (texts, _) in DIAGNOSES.items()})
CODES = {code.replace(".", ""): name for name, (_, codes) in DIAGNOSES.items() for code in codes}

# Where and how much: words beside a diagnosis that do not change which one it is
NEUTRAL = frozenset(words(" ".join((
    "eye eyes eyelid eyelids lid lids upper lower left right both bilateral unilateral medial lateral canthus inner",
    "outer od os ou re le of the at on in acute chronic mild moderate severe confirmed histologically proven primary",
    "auge augen augenlid lider oberlid unterlid oberlids unterlids lidwinkel rechts links rechte linke rechten linken",
    "rechtes linkes bds beidseits beidseitig am an im der des die das ra la akut akute chronisch chronische leicht",
    "leichte mittel schwer schwere gesichert gesicherte histologisch", "oeil yeux œil paupière paupières supérieure",
    "inférieure droit droite gauche og odg de du des l d aigu aiguë chronique légère modérée sévère confirmé confirmée",
))).split())  # fmt: skip
NEUTRAL_SIGNS = (re.compile("[左右双两][眼侧]?|急性|慢性|轻度|中度|重度"), re.compile("上睑|下睑|眼睑"))

# Doubt, exclusion and the past, in folded `words`: what they stand beside is no finding of this photo
DOUBT = re.compile(
    r"\b(no|not|non|without|never|exclud\w*|exclusion|ruled? out|r o|suspect\w*|suspici\w*|susp|possibl[ey]|"
    r"probabl[ey]|likely|unlikely|presum\w*|question\w*|query|doubt\w*|unclear|uncertain|negative|neg|free of|absen\w*|"
    r"differential\w*|dd|ddx|versus|vs|or|history|hx|h o|past|previous\w*|prior|former\w*|resolved|healed|cured|status|"
    r"s p|st p|z n|st n|post|postop\w*|after|following|excised|removed|resected|treated|remission|family|screening|"
    r"v a|va|vd|verd|verdacht\w*|fraglich\w*|moglich\w*|wahrscheinlich\w*|vermut\w*|unklar\w*|nicht|kein\w*|ohne|"
    r"ausschluss|ausgeschlossen\w*|auszuschliessen\w*|zustand|zust|anamnes\w*|fruher\w*|ehemals|abgeheilt\w*|nach|"
    r"exzidiert\w*|entfernt\w*|operiert\w*|versorgt\w*|oder|familiar\w*|"
    r"pas|sans|aucune?|ni|exclu\w*|elimin\w*|suspicion|suspectee?|evoqu\w*|incertain\w*|douteu\w*|antecedents?|atcd|"
    r"apres|ancien\w*|oper\w*|gueri\w*|exerese|statut|ou bien|hypothese)\b|"
    r"疑|待[查排诊定除]|排除|除外|否认|未|无|非|不|术后|病史|既往|可能|考虑|倾向|治愈|切除|鉴别|或"
)
