"""The map of calendars: how feeds and imports are listed, and where they lead."""

from models import calendar_feed, calendar_import
from models.calendar_feed import CalendarFeed
from models.calendar_import import CalendarImport
from models.client import Client
from models.provider import Provider
from models.relation import Listing, One

# Lists at the root
CALENDAR_FEEDS = Listing("calendarFeeds", CalendarFeed, calendar_feed.found)
CALENDAR_IMPORTS = Listing("calendarImports", CalendarImport, calendar_import.found)

# Links to one
FEED_PROVIDER = One("CalendarFeed.provider", Provider, "provider_id")
FEED_CLIENT = One("CalendarFeed.client", Client, "client_id")
IMPORT_PROVIDER = One("CalendarImport.provider", Provider, "provider_id")
