"""The feed of events: reading on from where one has come to."""

from models import event
from models.event import FEED, Wanted
from models.page import Page, Slice
from resolvers.connections import Connection, selected
from resolvers.context import Context


class Feed(Connection):
    """A page that goes on where it ends, also where it is empty."""

    def __init__(self, page: Connection, after: str | None) -> None:
        super().__init__(page.of, page.slice, page.count)
        self.after = after

    def end(self, page: Slice) -> str | None:
        return super().end(page) or self.after


def list_events(context: Context, wanted: Wanted, first: int | None, after: str | None) -> Feed:
    """List what was done after a cursor."""
    page = Page.read(FEED, first, after)
    return Feed(selected(context, event.fed(context.viewer, wanted), page), after)
