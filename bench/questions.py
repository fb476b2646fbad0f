"""Questions: the documents that are measured, and their requests over the world."""

import random
from collections.abc import Iterator

from bench.load import Request, post
from bench.world import CLIENTS, World, identity, node_id

SIZE = 50
READ = """query ($provider: ID!, $size: Int!) {
  availableAppointments(filter: {providerIds: [$provider]}, first: $size) {
    nodes { id startsAt endsAt provider { id firstName lastName } } } }"""
NESTED = """{ providers(first: 20) { nodes {
  availableAppointments(first: 5) { nodes { id startsAt reservations(first: 3) { nodes { status client { firstName } } } } }
} } }"""
RESERVE = """mutation ($client: ID!, $appointment: ID!) {
  reservationCreate(input: {clientId: $client, appointmentId: $appointment}) {
    reservation { id status expiresAt } userErrors { code } } }"""
PUBLISH = """mutation ($provider: ID!, $from: DateTime!, $until: DateTime!) {
  appointmentBulkCreate(input: {providerId: $provider, startTime: $from, endTime: $until, slotMinutes: 5}) {
    created userErrors { code } } }"""

# The peers have no opaque ids, and a field for a provider where ours has a filter.
PEER_READ = """query ($provider: ID!, $size: Int!) {
  availableAppointments(provider: $provider, first: $size) {
    nodes { id startsAt endsAt provider { id firstName lastName } } } }"""
POSTGRAPHILE_READ = """query ($provider: UUID!, $size: Int!) {
  benchFreeAppointments(provider: $provider, first: $size) {
    nodes { id startsAt endsAt provider: providerByBusinessIdAndProviderId { id firstName lastName } } } }"""

# What every good answer contains, near its beginning: an answer without a row would be measured for nothing.
A_PROVIDER, A_RESERVATION, A_LIST = '"Provider"', '"reservation":{"id"', '"reservations":'


def read_of(provider: int) -> dict[str, object]:
    return {"provider": node_id(1, provider), "size": SIZE}


def reserve_of(client: int, appointment: int) -> dict[str, object]:
    return {"client": node_id(2, client), "appointment": node_id(3, appointment)}


def reads(world: World) -> list[Request]:
    """The first 50 free appointments of every provider, in a random order."""
    return [post({"query": READ, "variables": read_of(n)}) for n in shuffled(world)]


def peer_reads(world: World, document: str) -> list[Request]:
    """The same, asked of a peer."""
    return [post({"query": document, "variables": {"provider": identity(1, n), "size": SIZE}}) for n in shuffled(world)]


def plain_reads(world: World) -> list[Request]:
    """The same, asked of an endpoint without GraphQL."""
    return [Request(f"/free/{identity(1, n)}") for n in shuffled(world)]


def nested_reads(_: World) -> list[Request]:
    return [post({"query": NESTED})]


def reserves(world: World, most: int) -> Iterator[Request]:
    """A reservation of another appointment each time, which nobody has."""
    for n in range(min(most, world.unclaimed)):
        appointment = world.free_appointment(n)
        yield post({"query": RESERVE, "variables": reserve_of(appointment % CLIENTS, appointment)})


def shuffled(world: World) -> list[int]:
    return random.sample(range(world.providers), world.providers)
