"""The idiomatic peer: Strawberry, SQLAlchemy's ORM with an async session, and a data loader, as their manuals show them.

It serves the same read over the same tables, with the least that is needed for it. Its rule for what is free is simpler
than ours, which is in its favour: no buffers, no groups, one anti-join over an index.
"""

import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any
from uuid import UUID

import strawberry
from sqlalchemy import DateTime, Interval, cast, exists, func, select
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.websockets import WebSocket
from strawberry.asgi import GraphQL
from strawberry.dataloader import DataLoader

from server.database import sqlalchemy_url

BUSINESS = UUID(os.environ["BUSINESS"])


class Base(DeclarativeBase):
    type_annotation_map = {datetime: DateTime(timezone=True)}  # noqa: RUF012 -- as the manual writes it


class AppointmentRow(Base):
    __tablename__ = "appointments"

    business_id: Mapped[UUID] = mapped_column(primary_key=True)
    id: Mapped[UUID] = mapped_column(primary_key=True)
    provider_id: Mapped[UUID]
    starts_at: Mapped[datetime]
    ends_at: Mapped[datetime]


class ProviderRow(Base):
    __tablename__ = "providers"

    business_id: Mapped[UUID] = mapped_column(primary_key=True)
    id: Mapped[UUID] = mapped_column(primary_key=True)
    first_name: Mapped[str]
    last_name: Mapped[str]


class ReservationRow(Base):
    __tablename__ = "reservations"

    business_id: Mapped[UUID] = mapped_column(primary_key=True)
    id: Mapped[UUID] = mapped_column(primary_key=True)
    live_appointment_id: Mapped[UUID | None]
    status: Mapped[str]
    expires_at: Mapped[datetime]


Info = strawberry.Info[dict[str, Any], None]


@strawberry.type
class Provider:
    id: strawberry.ID
    first_name: str
    last_name: str


@strawberry.type
class Appointment:
    id: strawberry.ID
    starts_at: datetime
    ends_at: datetime
    provider_id: strawberry.Private[UUID]

    @strawberry.field
    async def provider(self, info: Info) -> Provider:
        row = await info.context["providers"].load(self.provider_id)
        return Provider(id=strawberry.ID(str(row.id)), first_name=row.first_name, last_name=row.last_name)


@strawberry.type
class Appointments:
    nodes: list[Appointment]


@strawberry.type
class Query:
    @strawberry.field
    async def available_appointments(self, info: Info, provider: strawberry.ID, first: int = 20) -> Appointments:
        async with info.context["sessions"]() as session:
            rows = (await session.scalars(_free(UUID(provider), first))).all()
        return Appointments(
            nodes=[
                Appointment(
                    id=strawberry.ID(str(row.id)),
                    starts_at=row.starts_at,
                    ends_at=row.ends_at,
                    provider_id=row.provider_id,
                )
                for row in rows
            ]
        )


def _free(provider: UUID, first: int) -> Any:
    claimed = exists().where(
        ReservationRow.business_id == AppointmentRow.business_id,
        ReservationRow.live_appointment_id == AppointmentRow.id,
        (ReservationRow.status == "CONFIRMED") | (ReservationRow.expires_at > func.now()),
    )
    soonest = func.now() + cast("24 hours", Interval)
    return (
        select(AppointmentRow)
        .where(AppointmentRow.business_id == BUSINESS, AppointmentRow.provider_id == provider)
        .where(AppointmentRow.starts_at >= soonest, ~claimed)
        .order_by(AppointmentRow.starts_at, AppointmentRow.id)
        .limit(first)
    )


engine = create_async_engine(
    sqlalchemy_url(os.environ["DATABASE_URL"]),
    pool_size=8,
    max_overflow=0,  # to open a connection for each request would cost the most of all
    connect_args={"options": "-c timezone=UTC -c jit=off"},
)
sessions = async_sessionmaker(engine, expire_on_commit=False)


async def _providers(keys: Sequence[UUID]) -> list[ProviderRow]:
    async with sessions() as session:
        wanted = select(ProviderRow).where(ProviderRow.business_id == BUSINESS, ProviderRow.id.in_(keys))
        found = {row.id: row for row in await session.scalars(wanted)}
    return [found[key] for key in keys]


class Endpoint(GraphQL[dict[str, Any], None]):
    async def get_context(self, request: Request | WebSocket, response: Response | WebSocket) -> dict[str, Any]:
        return {
            "request": request,
            "response": response,
            "sessions": sessions,
            "providers": DataLoader(load_fn=_providers),
        }


@asynccontextmanager
async def lifespan(_: Starlette) -> AsyncIterator[None]:
    yield
    await engine.dispose()


app = Starlette(routes=[Route("/graphql", Endpoint(strawberry.Schema(Query)))], lifespan=lifespan)
