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
        DESK_OR_CLIENT: "waitlistEntries waitlistEntry",
        MEMBERS: "proposals proposal visit reservationSeries calendarFeeds notifications notificationPreferences reservations reservation client",
        TEAM: "calendarImports explainAvailability appointments clients skills skill resources resource"
        " availabilityRules availabilityRule availabilityExceptions availabilityException timeOffs timeOff",
        MANAGERS: "webhookEndpoints webhookEndpoint webhookDeliveries events exposureReport",
        ADMINS: "auditEntries",
        KEEPERS: "apiKeys",
    },
    "Mutation": {
        MEMBERS: "notificationPreferencesSet calendarFeedCreate calendarFeedRevoke reservationConfirm reservationCancel"
        " reservationRelease reservationRenew reservationReschedule",
        DESK_OR_CLIENT: "waitlistEntryCreate waitlistEntryCancel proposalAccept proposalDecline visitCreate visitConfirm visitRenew visitCancel reservationSeriesCreate reservationSeriesConfirm"
        " reservationSeriesCancel reservationCreate reservationCreateAnyProvider",
        MANAGERS_OR_CLIENT: "clientExport",
        TEAM: "reservationApprove reservationDecline reservationMarkNoShow appointmentStart appointmentComplete"
        " calendarImportCreate calendarImportDelete appointmentBulkCreate weeklyScheduleSet weeklyScheduleDelete"
        " availabilityRuleCreate availabilityRuleUpdate availabilityRuleDelete"
        " availabilityExceptionCreate availabilityExceptionUpdate availabilityExceptionDelete"
        " timeOffCreate timeOffUpdate timeOffDelete",
        DESK: "clientCreate appointmentReassign",
        MANAGERS: "webhookEndpointCreate webhookEndpointUpdate webhookEndpointDelete webhookSecretRotate webhookDeliveryRetry webhookDryRun"
        " holidayCreate holidayUpdate holidayDelete locationCreate locationUpdate locationDelete serviceCreate serviceUpdate serviceDelete"
        " skillCreate skillUpdate skillDelete resourceCreate resourceUpdate resourceDelete"
        " providerUpdate providerSkillsSet providerServicesSet providerCreate",
        ADMINS: "clientErase appointmentsGenerate",
        KEEPERS: "apiKeyCreate apiKeyRevoke businessUpdate",
        OPERATORS: "businessCreate",
    },
    "Subscription": {EVERYBODY: "availabilityChanged", MEMBERS: "reservationChanged"},
    "AvailabilityChange": {EVERYBODY: "reason startsAt endsAt occurredAt provider appointment available"},
    # The business, and what anybody may browse of it
    "Viewer": {EVERYBODY: "principal role business"},
    "Business": {
        EVERYBODY: "id name timeZone leadTimeMinutes holdTimeMinutes holdLimit isPublic"
        " minimumHorizonMinutes maximumHorizonMinutes cancelCutoffMinutes renewalLimit publicationDays exposureVariant"
        " locale reminderMinutes",
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
        " holdTimeMinutes minimumHorizonMinutes maximumHorizonMinutes cancelCutoffMinutes approvalMinutes offerings providers",
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
        TEAM: "email phone locale createdAt version appointments confirmedAppointments reservedAppointments skills"
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
    "TimeOff": {EVERYBODY: "id", TEAM: "startsAt endsAt reason source createdAt version provider", MANAGERS: "history"},
    # Persons, and what they reserve
    "Client": {
        EVERYBODY: "id",
        MEMBERS: "firstName lastName email phone timeZone locale createdAt version providers reservations"
        " activeReservations confirmedReservations expiredReservations",
        MANAGERS: "history",
    },
    "Reservation": {
        EVERYBODY: "id",
        MEMBERS: "calendarFile status expired confirmed startsAt endsAt localStartsAt localEndsAt seat note expiresAt expiry createdAt confirmedAt proposals"
        " cancelledAt cancelReason version client provider service appointment visit series durationMinutes price cancelCutoffMinutes"
        " requestedAt startedAt completedAt cancelledBy needsApproval renewals history",
    },
    "Visit": {
        EVERYBODY: "id",
        MEMBERS: "status startsAt endsAt createdAt version client reservations",
        MANAGERS: "history",
    },
    "ReservationSeries": {
        EVERYBODY: "id",
        MEMBERS: "everyWeeks count createdAt version client provider service reservations",
        MANAGERS: "history",
    },
    "SeriesConflict": {EVERYBODY: "index startsAt reason alternatives"},
    "WaitlistEntry": {
        EVERYBODY: "id",
        DESK_OR_CLIENT: "status startsFrom startsUntil position createdAt version client service provider location offer",
        MANAGERS: "history",
    },
    "Proposal": {
        EVERYBODY: "id",
        MEMBERS: "status expiresAt reason createdAt version reservation hold appointment client provider fromProvider",
        MANAGERS: "history",
    },
    # What a search answers beside appointments
    "ExposedAppointments": {EVERYBODY: "seed variant validUntil appointments total hasMore"},
    "ProviderExposure": {MANAGERS: "provider shown held confirmed"},
    "AvailableDate": {EVERYBODY: "date count"},
    "AvailabilityExplanation": {TEAM: "available appointment reasons"},
    "AvailabilityReason": {TEAM: "code message until earliestStart latestStart"},
    # What other programs keep
    "CalendarFeed": {MEMBERS: "id revokedAt createdAt version provider client"},
    "CalendarImport": {TEAM: "id host busyCount changedAt lastFetchedAt lastError createdAt version provider"},
    # What keeps watch
    "AuditEntry": {MEMBERS: "id occurredAt action nodeId diff", MANAGERS: "actor requestId fields"},
    "Notification": {
        MEMBERS: "id channel topic template status attempts problem createdAt nextAttemptAt sentAt subject text"
        " client provider reservation reservations"
    },
    "NotificationPreference": {MEMBERS: "channel topic enabled"},
    "ApiKey": {KEEPERS: "id name role scopes expiresAt revokedAt createdAt version personId"},
    # What stands between a field and its rows
    "Node": {EVERYBODY: "id", MANAGERS: "history"},
    "PageInfo": {EVERYBODY: "hasNextPage hasPreviousPage startCursor endCursor"},
    "WebhookEndpoint": {
        EVERYBODY: "id",
        MANAGERS: "url description eventTypes document enabled disabledReason failingSince rotatedAt createdAt version deliveries history",
    },
    "WebhookDelivery": {
        MANAGERS: "id eventId eventType status attempts nextAttemptAt lastStatus lastError deliveredAt createdAt endpoint log"
    },
    "WebhookAttempt": {MANAGERS: "id number attemptedAt status error milliseconds"},
    "WebhookHeader": {MANAGERS: "name value"},
    "ApiKeyConnection": _PAGE,
    "WebhookEndpointConnection": _PAGE,
    "WebhookDeliveryConnection": _PAGE,
    "WebhookAttemptConnection": _PAGE,
    "AppointmentConnection": _PAGE,
    "AuditEntryConnection": _PAGE,
    "NotificationConnection": _PAGE,
    "Event": {MANAGERS: "id type source occurredAt correlationId data"},
    "EventConnection": _PAGE,
    "AvailabilityExceptionConnection": _PAGE,
    "AvailabilityRuleConnection": _PAGE,
    "CalendarFeedConnection": _PAGE,
    "CalendarImportConnection": _PAGE,
    "ClientConnection": _PAGE,
    "HolidayConnection": _PAGE,
    "TimeOffConnection": _PAGE,
    "ProviderConnection": _PAGE,
    "ReservationConnection": _PAGE,
    "WaitlistEntryConnection": _PAGE,
    "ProposalConnection": _PAGE,
    "LocationConnection": _PAGE,
    "OfferingConnection": _PAGE,
    "RequirementConnection": _PAGE,
    "ResourceConnection": _PAGE,
    "ServiceConnection": _PAGE,
    "SkillConnection": _PAGE,
    "ApiKeyEdge": _ROW,
    "WebhookEndpointEdge": _ROW,
    "WebhookDeliveryEdge": _ROW,
    "WebhookAttemptEdge": _ROW,
    "AppointmentEdge": _ROW,
    "AuditEntryEdge": _ROW,
    "NotificationEdge": _ROW,
    "EventEdge": _ROW,
    "AvailabilityExceptionEdge": _ROW,
    "AvailabilityRuleEdge": _ROW,
    "CalendarFeedEdge": _ROW,
    "CalendarImportEdge": _ROW,
    "ClientEdge": _ROW,
    "HolidayEdge": _ROW,
    "TimeOffEdge": _ROW,
    "ProviderEdge": _ROW,
    "ReservationEdge": _ROW,
    "WaitlistEntryEdge": _ROW,
    "ProposalEdge": _ROW,
    "LocationEdge": _ROW,
    "OfferingEdge": _ROW,
    "RequirementEdge": _ROW,
    "ResourceEdge": _ROW,
    "ServiceEdge": _ROW,
    "SkillEdge": _ROW,
    # What mutations answer: whoever may ask for the mutation
    "Published": {EVERYBODY: "created kept removed"},
    "NotificationPreferencesSetPayload": {EVERYBODY: "preferences userErrors"},
    "ApiKeyCreatePayload": {EVERYBODY: "apiKey token userErrors"},
    "WebhookEndpointCreatePayload": {EVERYBODY: "webhookEndpoint secret userErrors"},
    "WebhookEndpointUpdatePayload": {EVERYBODY: "webhookEndpoint userErrors"},
    "WebhookEndpointDeletePayload": {EVERYBODY: "deletedId userErrors"},
    "WebhookSecretRotatePayload": {EVERYBODY: "webhookEndpoint secret userErrors"},
    "WebhookDeliveryRetryPayload": {EVERYBODY: "webhookDelivery userErrors"},
    "WebhookDryRunPayload": {EVERYBODY: "url headers body userErrors"},
    "ApiKeyRevokePayload": {EVERYBODY: "apiKey userErrors"},
    "AppointmentsGeneratePayload": {
        EVERYBODY: "userErrors published",
        ADMINS: "providers",
        **_SUPPLIED,
    },
    "AppointmentBulkCreatePayload": {EVERYBODY: "created kept removed results appointments userErrors"},
    "BusinessCreatePayload": {EVERYBODY: "business userErrors"},
    "BusinessUpdatePayload": {EVERYBODY: "business userErrors published", **_SUPPLIED},
    "CalendarFeedCreatePayload": {EVERYBODY: "calendarFeed url userErrors"},
    "CalendarFeedRevokePayload": {EVERYBODY: "calendarFeed userErrors"},
    "CalendarImportCreatePayload": {EVERYBODY: "calendarImport userErrors"},
    "CalendarImportDeletePayload": _DELETED,
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
    "TimeOffCreatePayload": {
        EVERYBODY: "timeOff userErrors published",
        TEAM: f"proposals withoutProposal {_SUPPLIED[TEAM]}",
    },
    "WaitlistEntryCreatePayload": {EVERYBODY: "waitlistEntry userErrors"},
    "WaitlistEntryCancelPayload": {EVERYBODY: "waitlistEntry userErrors"},
    "ProposalAcceptPayload": {EVERYBODY: "proposal userErrors"},
    "ProposalDeclinePayload": {EVERYBODY: "proposal userErrors"},
    "TimeOffUpdatePayload": {EVERYBODY: "timeOff userErrors published", **_SUPPLIED},
    "TimeOffDeletePayload": _DELETED,
    "ProviderCreatePayload": {EVERYBODY: "provider userErrors"},
    "ReservationCancelPayload": {EVERYBODY: "reservation userErrors"},
    "ReservationConfirmPayload": {EVERYBODY: "reservation userErrors"},
    "ReservationCreateAnyProviderPayload": {EVERYBODY: "reservation userErrors"},
    "ReservationCreatePayload": {EVERYBODY: "reservation userErrors"},
    "ReservationApprovePayload": {EVERYBODY: "reservation userErrors"},
    "ReservationDeclinePayload": {EVERYBODY: "reservation userErrors"},
    "ReservationMarkNoShowPayload": {EVERYBODY: "reservation userErrors"},
    "ReservationReleasePayload": {EVERYBODY: "reservation userErrors"},
    "ReservationRenewPayload": {EVERYBODY: "reservation userErrors"},
    "ReservationReschedulePayload": {EVERYBODY: "reservation userErrors"},
    "AppointmentStartPayload": {EVERYBODY: "appointment reservations userErrors"},
    "AppointmentCompletePayload": {EVERYBODY: "appointment reservations userErrors"},
    "AppointmentReassignPayload": {EVERYBODY: "appointment reservations candidates userErrors"},
    "VisitCreatePayload": {EVERYBODY: "visit userErrors"},
    "VisitConfirmPayload": {EVERYBODY: "visit userErrors"},
    "VisitRenewPayload": {EVERYBODY: "visit userErrors"},
    "VisitCancelPayload": {EVERYBODY: "visit userErrors"},
    "ReservationSeriesCreatePayload": {EVERYBODY: "series reservations conflicts userErrors"},
    "ReservationSeriesConfirmPayload": {EVERYBODY: "series userErrors"},
    "ReservationSeriesCancelPayload": {EVERYBODY: "series userErrors"},
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
    "IllegalStateError": {EVERYBODY: f"{_ERROR} state possibleAt"},
    "DuplicateRowsError": {EVERYBODY: f"{_ERROR} rows"},
    "OverlappingRowsError": {EVERYBODY: f"{_ERROR} rows appointmentIds"},
    "OverlappingRulesError": {EVERYBODY: f"{_ERROR} ruleIds"},
    "TooManyEntriesError": {EVERYBODY: f"{_ERROR} limit"},
    "TooManyHoldsError": {EVERYBODY: f"{_ERROR} limit"},
    "TooManyRenewalsError": {EVERYBODY: f"{_ERROR} limit"},
    "TooManyRowsError": {EVERYBODY: f"{_ERROR} found limit"},
    "VersionConflictError": {EVERYBODY: f"{_ERROR} currentVersion"},
}

ROLES: dict[Coordinate, Roles] = {
    (type_name, field): roles
    for type_name, groups in TABLE.items()
    for roles, fields in groups.items()
    for field in fields.split()
}
