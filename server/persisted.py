"""Persisted documents: those that clients registered, or the only ones that are answered at all."""

import re
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from sys import getsizeof
from typing import Any, NamedTuple, NoReturn

import orjson
from graphql import GraphQLError, OperationDefinitionNode, parse

from resolvers.recent import Recent
from schema.execution import Documents, Question
from server.request import BadRequestError, UnknownDocumentError, bare, measure
from server.settings import SettingsError

# Kept are 4 MB of text and no more than 1,000 documents: however short one is, it weighs a thousandth.
BYTES_KEPT, LEAST_WEIGHT, LARGEST_KEPT = 4_000_000, 4_000, 20_000
SHA256 = re.compile("[0-9a-f]{64}")
APOLLO = "apollo-persisted-query-manifest"


class Registered:
    """Answers every document, and those that a client registered before by their hash alone (Apollo's APQ).

    Each worker keeps its own: another one says PersistedQueryNotFound, and the client registers the document there too.
    """

    def __init__(self) -> None:
        self._kept: Recent[str, str] = Recent(BYTES_KEPT, lambda text: max(getsizeof(text), LEAST_WEIGHT))

    def find(self, identifier: str | None, text: str | None) -> tuple[str, str | None]:
        """Find the document that is asked, and the hash under which to keep it if it is valid."""
        if identifier is None and text is not None:
            return text, None
        digest = str(identifier).lower()
        if not SHA256.fullmatch(digest):
            problem = "A document is identified by its SHA-256 hash: 64 hexadecimal digits."
            raise BadRequestError(400, "BAD_REQUEST", problem)
        if text is None:
            return self._kept.found(digest, _unknown), None
        if digest != _digest(text):
            raise BadRequestError(400, "BAD_REQUEST", "The hash is not the SHA-256 hash of query.")
        return text, digest

    def keep(self, question: Question) -> None:
        """Register a document, which the caller knows to be valid: rubbish must not push others out."""
        if question.sha256 is not None and len(question.document) <= LARGEST_KEPT:
            self._kept.found(question.sha256, lambda: question.document)


def _unknown() -> NoReturn:
    raise UnknownDocumentError


def _digest(text: str) -> str:
    return sha256(text.encode()).hexdigest()


class _Found(NamedTuple):
    """A document, where it stands, and what a manifest calls it."""

    place: str
    text: str
    identifier: str | None = None


class Trusted:
    """Answers only the documents below a folder: by their text, by its SHA-256 hash, or by the id of a manifest.

    A *.graphql file is one document, as clients send it, with or without the white space around it; a *.json file maps
    ids to documents (Relay, GraphQL Codegen) or is a manifest of Apollo's.
    """

    def __init__(self, folder: Path, documents: Documents) -> None:
        self._named: dict[str, str] = {}
        self._texts: set[str] = set()
        for found in _found(folder):
            if complaint := _complaint(found.text, documents):
                raise SettingsError(f"{found.place} is not a document that this server can answer: {complaint}")
            self._add(found)
        if not self._texts:
            raise SettingsError(f"TRUSTED_DOCUMENTS names {str(folder)!r}, in which there is no document.")

    def __len__(self) -> int:
        return len({text.strip() for text in self._texts})

    def _add(self, found: _Found) -> None:
        stripped = found.text.strip()
        named = [(_digest(stripped), stripped), (_digest(found.text), found.text)]
        if found.identifier is not None:
            named.append((bare(found.identifier), found.text))
        for identifier, text in named:
            if self._named.setdefault(identifier, text).strip() != stripped:
                raise SettingsError(f"{found.place} is named as another document is.")
            self._texts.add(text)

    def find(self, identifier: str | None, text: str | None) -> tuple[str, None]:
        """Find the document that is asked, if it is one of the list; nothing is ever to be kept."""
        named = text if identifier is None else self._named.get(identifier)
        sent = named if text is None else text
        if named is None or sent not in self._texts or (named is not sent and named.strip() != sent.strip()):
            problem = "This server answers only the documents that it was given, and this is none of them."
            raise BadRequestError(403, "DOCUMENT_NOT_TRUSTED", problem)
        return sent, None

    def keep(self, question: Question) -> None:
        """Keep nothing: what is answered was known at the start."""


def persisted(folder: Path | None, documents: Documents) -> Registered | Trusted:
    """Make what a worker finds documents with: with a folder, it answers no others."""
    return Registered() if folder is None else Trusted(folder, documents)


def _found(folder: Path) -> Iterator[_Found]:
    for path in sorted(path for path in folder.rglob("*") if path.suffix in (".graphql", ".json")):
        try:
            text = path.read_bytes().decode()  # as it is: reading text would change the ends of its lines
        except (OSError, UnicodeDecodeError):
            raise SettingsError(f"{path} cannot be read as text.") from None
        if path.suffix == ".graphql":
            yield _Found(str(path), text)
        else:
            yield from (_Found(f"{path}, {name[:100]!r},", body, name) for name, body in _manifest(path, text))


def _manifest(path: Path, text: str) -> list[tuple[str, str]]:
    try:
        listed: Any = orjson.loads(text)
        if isinstance(listed, dict) and listed.get("format") == APOLLO and listed["version"] == 1:
            pairs = [(each["id"], each["body"]) for each in listed["operations"]]
        else:
            pairs = list(listed.items())
    except (ValueError, AttributeError, KeyError, TypeError):
        pairs = [(None, None)]
    if not all(isinstance(name, str) and isinstance(body, str) for name, body in pairs):
        raise SettingsError(f"{path} is neither a map from ids to documents nor a manifest of Apollo's.")
    return pairs


def _complaint(text: str, documents: Documents) -> str | None:
    """Say what is wrong with a document: what would be said to a client that sends it."""
    try:
        measure(text, documents.limits.bytes)
        operations = [node for node in parse(text).definitions if isinstance(node, OperationDefinitionNode)]
    except (BadRequestError, GraphQLError) as bad:
        return bad.message if isinstance(bad, GraphQLError) else str(bad)
    names = [operation.name.value if operation.name else None for operation in operations] or [None]
    wrong = [error for name in names for error in documents.prepare(Question(text, {}, name)).errors]
    return str(wrong[0]["message"]) if wrong else None
