"""The licence of weights, which follows from those of the data that they learnt from: docs/model_file.md has the rule.

No legal advice: the rule takes every licence that a text names as one that holds, and the strictest of all as the one
of the weights. Where two cannot be kept at once both are named.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # a list of models needs no torch
    from MultiTaskSegLib.runtime.model.manifest import Manifest

FREE, CITE, SHARE_ALIKE, NON_COMMERCIAL, NO_DERIVATIVES, UNKNOWN = range(6)
"""How strict a licence is."""

_DOUBT = re.compile(r"unknown|not (?:\w+ )?(?:stated|confirmed|granted|explicit)|no explicit|\bnone\b|unclear")
# Of what may not be done with it, however it is joined to the rest: "CC BY NC 4.0", "CC BY 4.0 (NC)".
_CREATIVE_COMMONS = re.compile(r"\bcc[- ]?by((?:[- /(]*(?:nc|sa|nd)\b)*)(?:[- ]*(\d\.\d))?((?:[- /(]+(?:nc|sa|nd)\b)*)")
_SIGNS = str.maketrans(dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2212_", "-") | {"\u00a0": " "})
_NOT_COMMERCIAL = (
    r"non[- ]?commercial|\bno(?:t (?:\w+ )?for)? commercial|"
    r"commercial (?:use|purposes?) (?:is |are )?(?:not|prohibited|forbidden)"
)
_SPELLED_OUT = re.compile(
    r"(?:(?:creative commons |cc[- ])?attribution|\bcc[- ]?by)"
    r"((?:[- /,]+(?:non[- ]?commercial|no[- ]?deriv[a-z]*|share[- ]?alike))+)"
)
_GNU = re.compile(r"\b([al]?gpl)(?:[- ]?v?(\d))?")
_BY_WORD = (
    (FREE, "CC0", re.compile(r"\bcc0\b|public domain|\bpddl\b|\bdbcl\b")),
    (CITE, "MIT/BSD/Apache", re.compile(r"\bmit\b|\bbsd\b|\bapache\b")),
    (CITE, "ODC-BY", re.compile(r"\bodc[- ]by\b")),
    (SHARE_ALIKE, "ODbL", re.compile(r"\bodbl\b")),
    (
        NON_COMMERCIAL,
        "non-commercial",
        re.compile(
            rf"{_NOT_COMMERCIAL}|(?:research|academic|educational?) (?:use |purposes? )?only|"
            r"\bfor research\b(?! and comm)"
        ),
    ),
    (NO_DERIVATIVES, "no derivatives", re.compile(r"\bno[- ]?deriv")),
    (CITE, "cite", re.compile(r"\bcit(?:e|ation)\b|\battribution\b")),
)
# Licences with the obligation to pass on under the same one; material under the first may go under the second
# (creativecommons.org/compatiblelicenses).
_PASSES_ON_AS = {("CC BY-SA 4.0", "GPL-3")}


@dataclass(frozen=True, order=True)
class Licence:
    """One licence that a text names.

    Attributes:
        strictness: `FREE` to `UNKNOWN`.
        name: as people write it.
        is_share_alike: whether what is made of it must carry the same licence.
    """

    strictness: int
    name: str
    is_share_alike: bool = False

    def agrees_with(self, other: Licence) -> bool:
        """Whether the weights can keep both at once."""
        if self.name == other.name or UNKNOWN in (self.strictness, other.strictness):
            return True
        one, two = _family(self.name), _family(other.name)
        if one == two or (self.name, other.name) in _PASSES_ON_AS or (other.name, self.name) in _PASSES_ON_AS:
            return True
        if self.is_share_alike and other.is_share_alike:
            return False
        # What must be passed on under its own licence takes no further restriction.
        return not any(a.is_share_alike and b.strictness > a.strictness for a, b in ((self, other), (other, self)))


@dataclass(frozen=True)
class WeightsLicence:
    """What holds for weights.

    Attributes:
        by_dataset: licences that hold for each dataset, the strictest first.
        forbidden: datasets of which no released weights may be made.
        undecided: datasets of which nobody said whether released weights may be made of them.
    """

    by_dataset: Mapping[str, tuple[Licence, ...]]
    forbidden: tuple[str, ...] = ()
    undecided: tuple[str, ...] = ()

    @property
    def unknown(self) -> tuple[str, ...]:
        """Datasets whose licence is not known."""
        return tuple(name for name, own in self.by_dataset.items() if own[0].strictness == UNKNOWN)

    @property
    def strictest(self) -> tuple[Licence, ...]:
        """The licences that no other one is stricter than; several where datasets have different ones."""
        found = {licence for own in self.by_dataset.values() for licence in own}
        top = max((licence.strictness for licence in found), default=UNKNOWN)
        return tuple(sorted(licence for licence in found if licence.strictness == top))

    @property
    def conflicts(self) -> tuple[tuple[Licence, Licence], ...]:
        """Pairs that cannot be kept at once."""
        found = sorted({licence for own in self.by_dataset.values() for licence in own})
        return tuple((a, b) for i, a in enumerate(found) for b in found[i + 1 :] if not a.agrees_with(b))

    def text(self) -> str:
        """One line for people."""
        if self.unknown or not self.by_dataset:
            return f"not known: no licence is known of {', '.join(self.unknown) or 'the training data'}"
        parts = [f"{licence.name} ({', '.join(self._with(licence))})" for licence in self.strictest]
        words = " and ".join(parts)
        if self.strictest[0].strictness > CITE and any(
            licence.strictness == CITE for own in self.by_dataset.values() for licence in own
        ):
            words += "; the other data ask to be cited"
        for one, two in self.conflicts:
            words += f"; {one.name} and {two.name} contradict each other in one file of weights"
        return words

    def refusals(self) -> tuple[str, ...]:
        """Why the weights must not be released; none where they may."""
        reasons = (
            (self.forbidden, "released weights may not be made of"),
            (self.unknown, "no licence is known of"),
            (self.undecided, "nobody has said whether released weights may be made of"),
        )
        return tuple(f"{why} {', '.join(names)}" for names, why in reasons if names)

    def _with(self, licence: Licence) -> list[str]:
        return [name for name, own in self.by_dataset.items() if licence in own]


def licences_in(text: str) -> tuple[Licence, ...]:
    """Every licence that a text names, the strictest first; one of strictness `UNKNOWN` where it names none.

    >>> [licence.name for licence in licences_in("CC BY-SA 4.0 (MSD); Kaggle copy ODbL/DbCL")]
    ['ODbL', 'CC BY-SA 4.0', 'CC0']
    """
    words = _SPELLED_OUT.sub(_abbreviated, text.lower().translate(_SIGNS))
    found = set(_named(words))
    if not found or _DOUBT.search(words):
        found.add(Licence(UNKNOWN, "not known"))
    return tuple(sorted(found, reverse=True))


def weights_licence(manifest: Manifest) -> WeightsLicence:
    """From the data of all tasks, and of the trainings that came before (``training.provenance``)."""
    terms = [(task.name, task.licence, task.data.released_weights_may_use) for task in manifest.tasks]
    return licence_of_data(terms, manifest.training.get("provenance"))


def learnt_besides(manifest: Manifest) -> dict[str, str]:
    """By dataset that a training of network or check saw and no task is of: licence and whom to cite, in words.

    Weights keep what they have learnt, also of a task that was left out and of the model that they were started from.
    """
    tasks = {task.name for task in manifest.tasks}
    found: dict[str, str] = {}
    for name, terms in _terms_of_trainings(manifest.training.get("provenance")):
        if name not in tasks:
            said = [str(terms.get("licence") or "no licence is recorded")]
            if terms.get("reference"):
                said.append(f"please cite: {terms['reference']}")
            found[name] = max(found.get(name, ""), "; ".join(said), key=len)
    return found


def licence_of_data(tasks: Iterable[tuple[str, str, bool | None]], provenance: Any = None) -> WeightsLicence:
    """As `weights_licence`.

    Args:
        tasks: name, licence of the data, and whether released weights may be made of them (None: nobody said).
        provenance: what the file says of the trainings that came before.
    """
    known = list(tasks)
    licences = {name: licences_in(licence) for name, licence, _ in known}
    may_use = {name: said for name, _, said in known}
    for name, terms in _terms_of_trainings(provenance):
        if name not in licences or terms:
            licences[name] = tuple(
                sorted({*licences.get(name, ()), *licences_in(str(terms.get("licence", "")))}, reverse=True)
            )
        said = terms.get("released_weights_may_use")
        # One training that was told "no" is enough.
        may_use[name] = False if said is False else may_use.get(name, said if said is True else None)
    return WeightsLicence(
        licences,
        tuple(name for name, said in may_use.items() if said is False),
        tuple(name for name, said in may_use.items() if said is None),
    )


def _abbreviated(match: re.Match[str]) -> str:
    """``attribution-noncommercial`` as ``cc by-nc``."""
    parts = (("commercial", "-nc"), ("deriv", "-nd"), ("alike", "-sa"))
    return "cc by" + "".join(short for word, short in parts if word in match.group(1))


def _named(text: str) -> Iterator[Licence]:
    for match in _CREATIVE_COMMONS.finditer(text):
        words = re.findall("nc|sa|nd", match.group(1) + match.group(3))
        strictness = (
            NO_DERIVATIVES if "nd" in words else
            NON_COMMERCIAL if "nc" in words else
            SHARE_ALIKE if "sa" in words else CITE
        )  # fmt: skip
        name = "-".join(["CC BY", *(word.upper() for word in words)])
        yield Licence(strictness, f"{name} {match.group(2) or ''}".rstrip(), "sa" in words)
    for match in _GNU.finditer(text):
        yield Licence(SHARE_ALIKE, f"{match.group(1).upper()}{'-' + match.group(2) if match.group(2) else ''}", True)
    for strictness, name, pattern in _BY_WORD:
        if pattern.search(text):
            yield Licence(strictness, name, strictness == SHARE_ALIKE)


def _family(name: str) -> str:
    """Creative Commons lets what is made go under a later version of the same licence.

    >>> _family("CC BY-SA 3.0"), _family("GPL-3")
    ('CC BY-SA', 'GPL-3')
    """
    return re.sub(r" \d\.\d$", "", name)


def _terms_of_trainings(provenance: Any) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Dataset and terms of every dataset that any training saw; a file's notes may hold anything."""
    for training in provenance if isinstance(provenance, list) else []:
        if not isinstance(training, dict):
            continue
        terms = training.get("terms")
        for part in ("labelled", "unlabelled"):
            names = training.get(part)
            for name in names if isinstance(names, dict) else ():
                own = terms.get(name) if isinstance(terms, dict) else None
                yield str(name), own if isinstance(own, dict) else {}
