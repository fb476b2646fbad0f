"""What is done with providers and clients alike: creating them."""

from functools import partial

from models import Client, Provider
from models.person import create
from resolvers.writes import Write

CREATE_PROVIDER = Write("providerCreate", Provider, partial(create, Provider))
CREATE_CLIENT = Write("clientCreate", Client, partial(create, Client))
