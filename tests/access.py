"""Who may ask for what: every field of the contract with its roles, written by hand, so that no rule changes unnoticed."""

from models.viewer import Role

Roles = frozenset[Role]
Coordinate = tuple[str, str]

OPERATOR, ADMIN, MANAGER, FRONT_DESK, PROVIDER, CLIENT, PUBLIC = Role
EVERYBODY: Roles = frozenset(Role)
MEMBERS: Roles = frozenset({ADMIN, MANAGER, FRONT_DESK, PROVIDER, CLIENT})
TEAM: Roles = MEMBERS - {CLIENT}
DESK: Roles = TEAM - {PROVIDER}
DESK_OR_CLIENT: Roles = DESK | {CLIENT}
MANAGERS: Roles = frozenset({ADMIN, MANAGER})
MANAGERS_OR_CLIENT: Roles = MANAGERS | {CLIENT}
ADMINS: Roles = frozenset({ADMIN})
KEEPERS: Roles = frozenset({OPERATOR, ADMIN})
OPERATORS: Roles = frozenset({OPERATOR})

_PAGE = {EVERYBODY: "edges nodes pageInfo totalCount"}
_ROW = {EVERYBODY: "node cursor"}
_ERROR = "message field code retryable"

# What is listed here, and nothing else, is what each role may ask for; which rows it sees is told by `visible_to`.
TABLE: dict[str, dict[Roles, str]] = {
    # The roots
    "Query": {
        EVERYBODY: "viewer serverTime availableAppointments providers appointment provider node nodes",
        MEMBERS: "reservations reservation client",
        TEAM: "appointments clients",
        ADMINS: "auditEntries",
        KEEPERS: "apiKeys",
    },
    "Mutation": {
        MEMBERS: "reservationConfirm reservationCancel",
        DESK_OR_CLIENT: "reservationCreate",
        MANAGERS_OR_CLIENT: "clientExport",
        TEAM: "appointmentBulkCreate",
        DESK: "clientCreate",
        MANAGERS: "providerCreate",
        ADMINS: "clientErase",
        KEEPERS: "apiKeyCreate apiKeyRevoke businessUpdate",
        OPERATORS: "businessCreate",
    },
    # The business, and what anybody may browse of it
    "Viewer": {EVERYBODY: "principal role business"},
    "Business": {
        EVERYBODY: "id name timeZone leadTimeMinutes holdTimeMinutes holdLimit isPublic",
        KEEPERS | MANAGERS: "host version",
        MANAGERS: "history",
    },
    "Location": {EVERYBODY: "id name timeZone", MANAGERS: "history"},
    "Service": {EVERYBODY: "id name bufferBeforeMinutes bufferAfterMinutes", MANAGERS: "history"},
    "Appointment": {
        EVERYBODY: "id startsAt endsAt timeSlot capacity createdAt provider service location",
        MEMBERS: "reservations confirmedReservation",
        MANAGERS: "history",
    },
    "Provider": {
        EVERYBODY: "id firstName lastName timeZone availableAppointments",
        TEAM: "email phone createdAt version appointments confirmedAppointments reservedAppointments",
        DESK: "clients",
        MANAGERS: "history",
    },
    # Persons, and what they reserve
    "Client": {
        EVERYBODY: "id",
        MEMBERS: "firstName lastName email phone timeZone createdAt version providers reservations"
        " activeReservations confirmedReservations expiredReservations",
        MANAGERS: "history",
    },
    "Reservation": {
        EVERYBODY: "id",
        MEMBERS: "status expired confirmed startsAt endsAt seat note expiresAt expiry createdAt confirmedAt"
        " cancelledAt cancelReason version client provider service appointment",
        MANAGERS: "history",
    },
    # What keeps watch
    "AuditEntry": {MANAGERS: "id occurredAt actor action requestId nodeId diff fields"},
    "ApiKey": {KEEPERS: "id name role scopes expiresAt revokedAt createdAt version personId"},
    # What stands between a field and its rows
    "Node": {EVERYBODY: "id", MANAGERS: "history"},
    "PageInfo": {EVERYBODY: "hasNextPage hasPreviousPage startCursor endCursor"},
    "ApiKeyConnection": _PAGE,
    "AppointmentConnection": _PAGE,
    "AuditEntryConnection": _PAGE,
    "ClientConnection": _PAGE,
    "ProviderConnection": _PAGE,
    "ReservationConnection": _PAGE,
    "ApiKeyEdge": _ROW,
    "AppointmentEdge": _ROW,
    "AuditEntryEdge": _ROW,
    "ClientEdge": _ROW,
    "ProviderEdge": _ROW,
    "ReservationEdge": _ROW,
    # What mutations answer: whoever may ask for the mutation
    "ApiKeyCreatePayload": {EVERYBODY: "apiKey token userErrors"},
    "ApiKeyRevokePayload": {EVERYBODY: "apiKey userErrors"},
    "AppointmentBulkCreatePayload": {EVERYBODY: "created kept removed results appointments userErrors"},
    "BusinessCreatePayload": {EVERYBODY: "business userErrors"},
    "BusinessUpdatePayload": {EVERYBODY: "business userErrors"},
    "ClientCreatePayload": {EVERYBODY: "client userErrors"},
    "ClientErasePayload": {EVERYBODY: "client userErrors"},
    "ClientExportPayload": {EVERYBODY: "export userErrors"},
    "ProviderCreatePayload": {EVERYBODY: "provider userErrors"},
    "ReservationCancelPayload": {EVERYBODY: "reservation userErrors"},
    "ReservationConfirmPayload": {EVERYBODY: "reservation userErrors"},
    "ReservationCreatePayload": {EVERYBODY: "reservation userErrors"},
    "WindowResult": {EVERYBODY: "index created kept removed error bookedAppointments"},
    "UserError": {EVERYBODY: _ERROR},
    "RefusedError": {EVERYBODY: _ERROR},
    "InvalidInputError": {EVERYBODY: _ERROR},
    "UnknownTimeZoneError": {EVERYBODY: f"{_ERROR} suggestions"},
    "SlotUnavailableError": {EVERYBODY: f"{_ERROR} alternatives"},
    "LeadTimeError": {EVERYBODY: f"{_ERROR} earliestStart leadTimeMinutes"},
    "HoldExpiredError": {EVERYBODY: f"{_ERROR} expiredAt"},
    "IllegalStateError": {EVERYBODY: f"{_ERROR} state"},
    "DuplicateRowsError": {EVERYBODY: f"{_ERROR} rows"},
    "OverlappingRowsError": {EVERYBODY: f"{_ERROR} rows appointmentIds"},
    "TooManyHoldsError": {EVERYBODY: f"{_ERROR} limit"},
    "TooManyRowsError": {EVERYBODY: f"{_ERROR} found limit"},
    "VersionConflictError": {EVERYBODY: f"{_ERROR} currentVersion"},
}

ROLES: dict[Coordinate, Roles] = {
    (type_name, field): roles
    for type_name, groups in TABLE.items()
    for roles, fields in groups.items()
    for field in fields.split()
}
