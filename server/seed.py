"""Seeding: a believable practice, made through the public API."""


async def seed(url: str) -> None:
    """Fill the default business."""
