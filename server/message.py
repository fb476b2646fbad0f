"""Messages: what is written to somebody, from the templates of their language, by the clock of their zone."""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from babel import Locale
from babel.dates import format_date, format_skeleton, format_time, get_timezone_name
from jinja2 import FileSystemLoader, StrictUndefined, Template
from jinja2.sandbox import ImmutableSandboxedEnvironment

from models.letter import recipient

FOLDER = Path(__file__).parent / "templates"
FALLBACK = "en"
# What changes the direction of a text, and so could make a name rewrite the sentence it stands in.
_DIRECTIONS = re.compile("[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_ISOLATE, _END = "\u2068", "\u2069"


@dataclass(frozen=True)
class Message:
    """What somebody is told: as a mail (`text` and `html`) or in the line of an SMS."""

    subject: str
    text: str
    html: str
    sms: str
    language: str


def _environment(*, escaped: bool) -> ImmutableSandboxedEnvironment:
    return ImmutableSandboxedEnvironment(
        loader=FileSystemLoader(FOLDER),
        autoescape=escaped,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


_PLAIN, _HTML = _environment(escaped=False), _environment(escaped=True)


@cache
def languages() -> frozenset[str]:
    """The languages that there are templates of."""
    return frozenset(path.stem for path in FOLDER.glob("??.txt"))


def chosen(*wanted: str | None) -> Locale:
    """The first locale in whose language we can write."""
    for tag in wanted:
        locale = Locale.parse(tag, sep="-") if tag else None
        if locale is not None and locale.language in languages():
            return locale
    return Locale(FALLBACK)


def message(rows: Sequence[Any], link: str) -> Message:
    """Write the message of rows of `models/letter.py`: of one reservation, or of several to which the same has happened."""
    first, several = rows[0], "_several" if len(rows) > 1 else ""
    locale = chosen(recipient(first, "locale"), first.business_locale)
    template = _PLAIN.get_template(f"{locale.language}.txt")
    each = [{**_words(row, template, locale), "link": link} for row in rows]
    words = _together(each, template) if several else each[0]
    subject = one_line(_block(template, f"{first.template}_subject", words))
    sentence = _block(template, first.template + several, words)
    told: dict[str, Any] = {
        "subject": subject,
        "greeting": _block(template, "greeting", words),
        "sentence": sentence,
        "facts": [(_block(template, label, words), value) for label, value in _facts(rows, each)],
        "footer": _block(template, "footer", words),
        "language": str(locale).replace("_", "-"),
        "direction": locale.text_direction,
    }
    zones = ", ".join(dict.fromkeys(one["zone"] for one in each))
    short = f"{sentence} {_times(each)}" if several else subject
    return Message(
        subject,
        _PLAIN.get_template("mail.txt").render(told).strip() + "\n",
        _HTML.get_template("mail.html").render(told),
        one_line(f"{words['business']}: {short} ({zones})"),
        told["language"],
    )


def _block(template: Template, name: str, words: dict[str, Any]) -> str:
    """Write one block of a language's file."""
    return "".join(template.blocks[name](template.new_context(words))).strip()


def _words(row: Any, template: Template, locale: Locale) -> dict[str, Any]:
    """What templates may say; every value that somebody chose is kept from changing what stands around it."""
    zone = ZoneInfo(recipient(row, "time_zone") or row.location_time_zone or row.business_time_zone)
    former = row.event_data.get("from", {}).get("starts_at")
    passed_on = row.template == "BOOKING_PASSED_ON" and former
    starts_at = datetime.fromisoformat(former) if passed_on else row.reservation_starts_at
    return {
        "name": quoted(recipient(row, "first_name")),
        "client": quoted(f"{row.client_first_name} {row.client_last_name}"),
        "provider": quoted(f"{row.provider_first_name} {row.provider_last_name}"),
        "business": quoted(row.business_name),
        "service": quoted(row.service),
        "what": quoted(row.service) or _block(template, "appointment", {}),
        "location": quoted(", ".join(filter(None, (row.location_name, row.location_address)))),
        "reason": quoted(row.reservation_cancel_reason),
        "moment": moment(starts_at, zone, locale),
        "former": moment(datetime.fromisoformat(former), zone, locale) if former else "",
        "day": _day(starts_at, zone, locale),
        "hours": _hours(starts_at, None if passed_on else row.reservation_ends_at, zone, locale),
        "zone": get_timezone_name(starts_at.astimezone(zone), "long", locale=locale),
    }


def _together(each: Sequence[dict[str, Any]], template: Template) -> dict[str, Any]:
    """What templates may say of several: how many there are, of what, and since when."""
    words = {**each[0], "count": len(each)}
    service = _common(each, "service")
    what = f"{len(each)} × {service}" if service else _block(template, "several", words)
    return {**words, "what": what, "moment": _block(template, "since", words)}


def _common(each: Sequence[dict[str, Any]], name: str) -> str:
    """What is the same of all of them, if it is."""
    values = {words[name] for words in each}
    return str(values.pop()) if len(values) == 1 else ""


def _times(each: Sequence[dict[str, Any]]) -> str:
    """What is when, in few words."""
    if what := _common(each, "what"):
        return f"{what}: {'; '.join(words['moment'] for words in each)}"
    return "; ".join(f"{words['moment']}: {words['what']}" for words in each)


def _facts(rows: Sequence[Any], each: Sequence[dict[str, Any]]) -> list[tuple[str, str]]:
    """What a mail tells beside its sentence, line by line; what is not the same of all stands beside its time."""
    all_facts = [_facts_of_one(row, words) for row, words in zip(rows, each, strict=True)]
    differing = {label for label in all_facts[0] if len({facts[label] for facts in all_facts}) > 1}
    told: list[tuple[str, str]] = []
    for label, value in all_facts[0].items():
        if label == "when_label":
            told += [(label, _beside(facts, differing - {label})) for facts in all_facts]
        elif value and label not in differing:
            told.append((label, value))
    return told


def _beside(facts: dict[str, str], differing: set[str]) -> str:
    more = " · ".join(value for label, value in facts.items() if value and label in differing)
    return f"{facts['when_label']}: {more}" if more else facts["when_label"]


def _facts_of_one(row: Any, words: dict[str, Any]) -> dict[str, str]:
    is_final = "CANCELLED" in row.template or row.template == "DECLINED"
    return {
        "what_label": words["what"],
        "when_label": f"{words['day']}, {words['hours']} ({words['zone']})",
        "where_label": words["location"],
        "with_label": words["client"] if row.client_id is None else words["provider"],
        "reason_label": words["reason"] if is_final else "",
    }


def moment(at: datetime, zone: ZoneInfo, locale: Locale) -> str:
    """A date and a time in few words, by the clock of a zone."""
    local = at.astimezone(zone)
    return _spaced(f"{format_skeleton('yMMMEd', local, locale=locale)}, {format_time(local, 'short', locale=locale)}")


def _day(at: datetime, zone: ZoneInfo, locale: Locale) -> str:
    return _spaced(format_date(at.astimezone(zone), "full", locale=locale))


def _hours(starts_at: datetime, ends_at: datetime | None, zone: ZoneInfo, locale: Locale) -> str:
    shown = [format_time(at.astimezone(zone), "short", locale=locale) for at in (starts_at, ends_at) if at]
    return _spaced(" – ".join(shown))


def _spaced(text: str) -> str:
    """Write ordinary spaces, which every telephone knows."""
    return text.replace("\u202f", " ").replace("\xa0", " ")


def quoted(value: str | None) -> str:
    """A value on one line, whose direction of writing ends where it ends."""
    text = _DIRECTIONS.sub("", one_line(value or ""))
    is_turned = any(unicodedata.bidirectional(mark) in ("R", "AL", "AN") for mark in text)
    return f"{_ISOLATE}{text}{_END}" if is_turned else text


def one_line(text: str) -> str:
    """The same on one line, without control characters."""
    return " ".join("".join(" " if unicodedata.category(mark) == "Cc" else mark for mark in text).split())
