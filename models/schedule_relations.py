"""The map of schedules: how rules, exceptions, holidays and time off are listed, and where they lead."""

from models import availability_exception, availability_rule, holiday, time_off
from models.availability_exception import AvailabilityException
from models.availability_rule import AvailabilityRule
from models.holiday import Holiday
from models.location import Location
from models.page import Sort
from models.provider import Provider
from models.relation import Listing, Many, One
from models.service import Service
from models.time_off import TimeOff

BY_PLACE = (Sort("place"), Sort("id"))
BY_DATE = (Sort("date"), Sort("id"))
BY_START = (Sort("starts_at"), Sort("id"))

# Lists at the root
AVAILABILITY_RULES = Listing("availabilityRules", AvailabilityRule, availability_rule.found)
AVAILABILITY_EXCEPTIONS = Listing("availabilityExceptions", AvailabilityException, availability_exception.found)
HOLIDAYS = Listing("holidays", Holiday, holiday.found)
TIME_OFFS = Listing("timeOffs", TimeOff, time_off.found)

# Links to one
RULE_PROVIDER = One("AvailabilityRule.provider", Provider, "provider_id")
RULE_SERVICE = One("AvailabilityRule.service", Service, "service_id")
RULE_LOCATION = One("AvailabilityRule.location", Location, "location_id")
EXCEPTION_PROVIDER = One("AvailabilityException.provider", Provider, "provider_id")
EXCEPTION_SERVICE = One("AvailabilityException.service", Service, "service_id")
EXCEPTION_LOCATION = One("AvailabilityException.location", Location, "location_id")
HOLIDAY_LOCATION = One("Holiday.location", Location, "location_id")
TIME_OFF_PROVIDER = One("TimeOff.provider", Provider, "provider_id")

# Links to many
PROVIDER_RULES = Many(
    "Provider.availabilityRules",
    AvailabilityRule,
    lambda provider: AvailabilityRule.provider_id == provider,
    BY_PLACE,
)
PROVIDER_EXCEPTIONS = Many(
    "Provider.availabilityExceptions",
    AvailabilityException,
    lambda provider: AvailabilityException.provider_id == provider,
    BY_DATE,
)
PROVIDER_TIME_OFF = Many("Provider.timeOff", TimeOff, lambda provider: TimeOff.provider_id == provider, BY_START)
