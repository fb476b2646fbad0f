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

# What a change of the supply tells beside what was written
_SUPPLIED = {TEAM: "affectedReservations affectedCount pendingProviders"}
_DELETED = {EVERYBODY: "deletedId userErrors published", **_SUPPLIED}
_WEEK = {EVERYBODY: "provider userErrors published", TEAM: f"availabilityRules {_SUPPLIED[TEAM]}"}

# What is listed here, and nothing else, is what each role may ask for; which rows it sees is told by `visible_to`.
TABLE: dict[str, dict[Roles, str]] = {
    # The roots
    "Query": {
        EVERYBODY: "viewer serverTime availableAppointments availableDates nextAvailableAppointment exposedAppointments providers appointment provider node nodes"
        " locations location services service holidays holiday",
        MEMBERS: "reservations reservation client",
        TEAM: "explainAvailability appointments clients skills skill resources resource"
        " availabilityRules availabilityRule availabilityExceptions availabilityException timeOffs timeOff",
        MANAGERS: "exposureReport",
        ADMINS: "auditEntries",
        KEEPERS: "apiKeys",
    },
    "Mutation": {
        MEMBERS: "reservationConfirm reservationCancel",
        DESK_OR_CLIENT: "reservationCreate reservationCreateAnyProvider",
        MANAGERS_OR_CLIENT: "clientExport",
        TEAM: "appointmentBulkCreate weeklyScheduleSet weeklyScheduleDelete"
        " availabilityRuleCreate availabilityRuleUpdate availabilityRuleDelete"
        " availabilityExceptionCreate availabilityExceptionUpdate availabilityExceptionDelete"
        " timeOffCreate timeOffUpdate timeOffDelete",
        DESK: "clientCreate",
        MANAGERS: "holidayCreate holidayUpdate holidayDelete locationCreate locationUpdate locationDelete serviceCreate serviceUpdate serviceDelete"
        " skillCreate skillUpdate skillDelete resourceCreate resourceUpdate resourceDelete"
        " providerUpdate providerSkillsSet providerServicesSet providerCreate",
        ADMINS: "clientErase appointmentsGenerate",
        KEEPERS: "apiKeyCreate apiKeyRevoke businessUpdate",
        OPERATORS: "businessCreate",
    },
    # The business, and what anybody may browse of it
    "Viewer": {EVERYBODY: "principal role business"},
    "Business": {
        EVERYBODY: "id name timeZone leadTimeMinutes holdTimeMinutes holdLimit isPublic"
        " minimumHorizonMinutes maximumHorizonMinutes cancelCutoffMinutes publicationDays exposureVariant",
        KEEPERS | MANAGERS: "host version",
        MANAGERS: "history",
    },
    "Location": {
        EVERYBODY: "id name address postalCode timeZone",
        TEAM: "createdAt version resources",
        MANAGERS: "history",
    },
    "Service": {
        EVERYBODY: "id name durationMinutes bufferBeforeMinutes bufferAfterMinutes price active priority leadTimeMinutes"
        " holdTimeMinutes minimumHorizonMinutes maximumHorizonMinutes cancelCutoffMinutes offerings providers",
        TEAM: "createdAt version skills requirements",
        MANAGERS: "history",
    },
    "Money": {EVERYBODY: "amount currency"},
    "Skill": {EVERYBODY: "id", TEAM: "name createdAt version providers services", MANAGERS: "history"},
    "Resource": {EVERYBODY: "id", TEAM: "name kind quantity createdAt version location", MANAGERS: "history"},
    "Requirement": {EVERYBODY: "id", TEAM: "quantity version service resource", MANAGERS: "history"},
    "Offering": {EVERYBODY: "id provider service location", TEAM: "version", MANAGERS: "history"},
    "Appointment": {
        EVERYBODY: "id startsAt endsAt localStartsAt localEndsAt timeSlot capacity createdAt isOffered withdrawnAt provider service location",
        MEMBERS: "reservations confirmedReservation",
        MANAGERS: "history",
    },
    "Provider": {
        EVERYBODY: "id firstName lastName timeZone availableAppointments services offerings",
        TEAM: "email phone createdAt version appointments confirmedAppointments reservedAppointments skills"
        " availabilityRules availabilityExceptions timeOff",
        DESK: "clients",
        MANAGERS: "history",
    },
    # When providers work
    "AvailabilityRule": {
        EVERYBODY: "id",
        TEAM: "weekday start end endsNextDay validFrom validUntil recurrence timeZone slotMinutes gridMinutes capacity"
        " createdAt version provider service location",
        MANAGERS: "history",
    },
    "AvailabilityException": {
        EVERYBODY: "id",
        TEAM: "date windows timeZone slotMinutes gridMinutes capacity createdAt version provider service location",
        MANAGERS: "history",
    },
    "LocalInterval": {TEAM: "start end endsNextDay"},
    "Holiday": {EVERYBODY: "id date name location", TEAM: "createdAt version", MANAGERS: "history"},
    "TimeOff": {EVERYBODY: "id", TEAM: "startsAt endsAt reason createdAt version provider", MANAGERS: "history"},
    # Persons, and what they reserve
    "Client": {
        EVERYBODY: "id",
        MEMBERS: "firstName lastName email phone timeZone createdAt version providers reservations"
        " activeReservations confirmedReservations expiredReservations",
        MANAGERS: "history",
    },
    "Reservation": {
        EVERYBODY: "id",
        MEMBERS: "status expired confirmed startsAt endsAt localStartsAt localEndsAt seat note expiresAt expiry createdAt confirmedAt"
        " cancelledAt cancelReason version client provider service appointment durationMinutes price cancelCutoffMinutes",
        MANAGERS: "history",
    },
    # What a search answers beside appointments
    "ExposedAppointments": {EVERYBODY: "seed variant validUntil appointments total hasMore"},
    "ProviderExposure": {MANAGERS: "provider shown held confirmed"},
    "AvailableDate": {EVERYBODY: "date count"},
    "AvailabilityExplanation": {TEAM: "available appointment reasons"},
    "AvailabilityReason": {TEAM: "code message until earliestStart latestStart"},
    # What keeps watch
    "AuditEntry": {MANAGERS: "id occurredAt actor action requestId nodeId diff fields"},
    "ApiKey": {KEEPERS: "id name role scopes expiresAt revokedAt createdAt version personId"},
    # What stands between a field and its rows
    "Node": {EVERYBODY: "id", MANAGERS: "history"},
    "PageInfo": {EVERYBODY: "hasNextPage hasPreviousPage startCursor endCursor"},
    "ApiKeyConnection": _PAGE,
    "AppointmentConnection": _PAGE,
    "AuditEntryConnection": _PAGE,
    "AvailabilityExceptionConnection": _PAGE,
    "AvailabilityRuleConnection": _PAGE,
    "ClientConnection": _PAGE,
    "HolidayConnection": _PAGE,
    "TimeOffConnection": _PAGE,
    "ProviderConnection": _PAGE,
    "ReservationConnection": _PAGE,
    "LocationConnection": _PAGE,
    "OfferingConnection": _PAGE,
    "RequirementConnection": _PAGE,
    "ResourceConnection": _PAGE,
    "ServiceConnection": _PAGE,
    "SkillConnection": _PAGE,
    "ApiKeyEdge": _ROW,
    "AppointmentEdge": _ROW,
    "AuditEntryEdge": _ROW,
    "AvailabilityExceptionEdge": _ROW,
    "AvailabilityRuleEdge": _ROW,
    "ClientEdge": _ROW,
    "HolidayEdge": _ROW,
    "TimeOffEdge": _ROW,
    "ProviderEdge": _ROW,
    "ReservationEdge": _ROW,
    "LocationEdge": _ROW,
    "OfferingEdge": _ROW,
    "RequirementEdge": _ROW,
    "ResourceEdge": _ROW,
    "ServiceEdge": _ROW,
    "SkillEdge": _ROW,
    # What mutations answer: whoever may ask for the mutation
    "Published": {EVERYBODY: "created kept removed"},
    "ApiKeyCreatePayload": {EVERYBODY: "apiKey token userErrors"},
    "ApiKeyRevokePayload": {EVERYBODY: "apiKey userErrors"},
    "AppointmentsGeneratePayload": {
        EVERYBODY: "userErrors published",
        ADMINS: "providers",
        **_SUPPLIED,
    },
    "AppointmentBulkCreatePayload": {EVERYBODY: "created kept removed results appointments userErrors"},
    "BusinessCreatePayload": {EVERYBODY: "business userErrors"},
    "BusinessUpdatePayload": {EVERYBODY: "business userErrors published", **_SUPPLIED},
    "ClientCreatePayload": {EVERYBODY: "client userErrors"},
    "ClientErasePayload": {EVERYBODY: "client userErrors"},
    "ClientExportPayload": {EVERYBODY: "export userErrors"},
    "LocationCreatePayload": {EVERYBODY: "location userErrors published", **_SUPPLIED},
    "LocationUpdatePayload": {EVERYBODY: "location userErrors published", **_SUPPLIED},
    "LocationDeletePayload": _DELETED,
    "ServiceCreatePayload": {EVERYBODY: "service userErrors published", **_SUPPLIED},
    "ServiceUpdatePayload": {EVERYBODY: "service userErrors published", **_SUPPLIED},
    "ServiceDeletePayload": _DELETED,
    "SkillCreatePayload": {EVERYBODY: "skill userErrors published", **_SUPPLIED},
    "SkillUpdatePayload": {EVERYBODY: "skill userErrors published", **_SUPPLIED},
    "SkillDeletePayload": _DELETED,
    "ResourceCreatePayload": {EVERYBODY: "resource userErrors published", **_SUPPLIED},
    "ResourceUpdatePayload": {EVERYBODY: "resource userErrors published", **_SUPPLIED},
    "ResourceDeletePayload": _DELETED,
    "ProviderUpdatePayload": {EVERYBODY: "provider userErrors published", **_SUPPLIED},
    "ProviderSkillsSetPayload": {EVERYBODY: "provider userErrors published", **_SUPPLIED},
    "ProviderServicesSetPayload": {EVERYBODY: "provider userErrors published", **_SUPPLIED},
    "WeeklyScheduleSetPayload": _WEEK,
    "WeeklyScheduleDeletePayload": _WEEK,
    "AvailabilityRuleCreatePayload": {EVERYBODY: "availabilityRule userErrors published", **_SUPPLIED},
    "AvailabilityRuleUpdatePayload": {EVERYBODY: "availabilityRule userErrors published", **_SUPPLIED},
    "AvailabilityRuleDeletePayload": _DELETED,
    "AvailabilityExceptionCreatePayload": {EVERYBODY: "availabilityException userErrors published", **_SUPPLIED},
    "AvailabilityExceptionUpdatePayload": {EVERYBODY: "availabilityException userErrors published", **_SUPPLIED},
    "AvailabilityExceptionDeletePayload": _DELETED,
    "HolidayCreatePayload": {EVERYBODY: "holiday userErrors published", **_SUPPLIED},
    "HolidayUpdatePayload": {EVERYBODY: "holiday userErrors published", **_SUPPLIED},
    "HolidayDeletePayload": _DELETED,
    "TimeOffCreatePayload": {EVERYBODY: "timeOff userErrors published", **_SUPPLIED},
    "TimeOffUpdatePayload": {EVERYBODY: "timeOff userErrors published", **_SUPPLIED},
    "TimeOffDeletePayload": _DELETED,
    "ProviderCreatePayload": {EVERYBODY: "provider userErrors"},
    "ReservationCancelPayload": {EVERYBODY: "reservation userErrors"},
    "ReservationConfirmPayload": {EVERYBODY: "reservation userErrors"},
    "ReservationCreateAnyProviderPayload": {EVERYBODY: "reservation userErrors"},
    "ReservationCreatePayload": {EVERYBODY: "reservation userErrors"},
    "WindowResult": {EVERYBODY: "index created kept removed error bookedAppointments"},
    "UserError": {EVERYBODY: _ERROR},
    "RefusedError": {EVERYBODY: _ERROR},
    "InvalidInputError": {EVERYBODY: _ERROR},
    "UnknownTimeZoneError": {EVERYBODY: f"{_ERROR} suggestions"},
    "SlotUnavailableError": {EVERYBODY: f"{_ERROR} alternatives"},
    "LeadTimeError": {EVERYBODY: f"{_ERROR} earliestStart leadTimeMinutes"},
    "HorizonError": {EVERYBODY: f"{_ERROR} latestStart"},
    "CancellationWindowError": {EVERYBODY: f"{_ERROR} deadline"},
    "HoldExpiredError": {EVERYBODY: f"{_ERROR} expiredAt"},
    "IllegalStateError": {EVERYBODY: f"{_ERROR} state"},
    "DuplicateRowsError": {EVERYBODY: f"{_ERROR} rows"},
    "OverlappingRowsError": {EVERYBODY: f"{_ERROR} rows appointmentIds"},
    "OverlappingRulesError": {EVERYBODY: f"{_ERROR} ruleIds"},
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
