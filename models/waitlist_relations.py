"""The map of what is held for clients: how the waiting list and proposals are listed, and where they lead."""

from models import proposal, waitlist_entry
from models.appointment import Appointment
from models.client import Client
from models.location import Location
from models.page import Sort
from models.proposal import Proposal
from models.provider import Provider
from models.relation import Listing, Many, One
from models.reservation import Reservation
from models.service import Service
from models.waitlist_entry import WaitlistEntry

IN_ORDER = (Sort("created_at"), Sort("id"))
NEWEST_FIRST = (Sort("id", descending=True),)  # ids are made in the order of creation

# Lists at the root
WAITLIST_ENTRIES = Listing("waitlistEntries", WaitlistEntry, waitlist_entry.found)
PROPOSALS = Listing("proposals", Proposal, proposal.found)

# Links to one
ENTRY_CLIENT = One("WaitlistEntry.client", Client, "client_id")
ENTRY_SERVICE = One("WaitlistEntry.service", Service, "service_id")
ENTRY_PROVIDER = One("WaitlistEntry.provider", Provider, "provider_id")
ENTRY_LOCATION = One("WaitlistEntry.location", Location, "location_id")
ENTRY_OFFER = One("WaitlistEntry.offer", Reservation, "offer_id")
PROPOSAL_RESERVATION = One("Proposal.reservation", Reservation, "reservation_id")
PROPOSAL_HOLD = One("Proposal.hold", Reservation, "hold_id")
PROPOSAL_APPOINTMENT = One("Proposal.appointment", Appointment, "appointment_id")
PROPOSAL_CLIENT = One("Proposal.client", Client, "client_id")
PROPOSAL_PROVIDER = One("Proposal.provider", Provider, "provider_id")
PROPOSAL_FROM_PROVIDER = One("Proposal.fromProvider", Provider, "from_provider_id")

# Links to many
RESERVATION_PROPOSALS = Many(
    "Reservation.proposals", Proposal, lambda reservation: Proposal.reservation_id == reservation, NEWEST_FIRST
)
