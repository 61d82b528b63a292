"""An agency's own program around the SDK: publishes what changed in its table, and notes what was acknowledged."""

import asyncio
import json

import psycopg

from bus.errors import BusError
from bus.settings import KafkaSettings
from producers import Publisher, PublisherSettings, Receipt
from tests.producing import RESIDENCE, registry_settings

LOOK_SECONDS = 0.05
AGAIN_SECONDS = 0.3
SOME = 200

CHANGED = """
SELECT personal_id, household_no, change FROM residence
WHERE change IS DISTINCT FROM published ORDER BY change LIMIT %s
"""
PUBLISHED = "UPDATE residence SET published = %s WHERE personal_id = %s"
ACKNOWLEDGED = "INSERT INTO acknowledged (event_id) VALUES (%s)"


def main(text: str) -> None:
    asyncio.run(publish_all(json.loads(text)))


async def publish_all(given: dict[str, str]) -> None:
    """Until killed. Whatever fails is begun anew from the table: what was not acknowledged is published again."""
    settings = PublisherSettings(
        agency=given["agency"],
        kafka=KafkaSettings(bootstrap_servers=given["kafka"]),
        registry=registry_settings(given["prefix"]),
        prefix=given["prefix"],
        catalog=given["catalog"],
        exclusive=True,
        registers=(RESIDENCE,),
    )
    while True:
        try:
            async with Publisher(settings) as publisher:
                with psycopg.connect(given["database"], autocommit=True, connect_timeout=5) as table:
                    while True:
                        await _publish_some(publisher, table)
        except (BusError, psycopg.OperationalError):
            await asyncio.sleep(AGAIN_SECONDS)


async def _publish_some(publisher: Publisher, table: psycopg.Connection) -> None:
    rows = table.execute(CHANGED, [SOME]).fetchall()
    if not rows:
        await asyncio.sleep(LOOK_SECONDS)
        return
    receipts = await asyncio.gather(*(_publish(publisher, key, household) for key, household, _ in rows))
    with table.transaction(), table.cursor() as cursor:
        cursor.executemany(PUBLISHED, [(change, key) for key, _, change in rows])
        cursor.executemany(ACKNOWLEDGED, [(receipt.event_id,) for receipt in receipts])


async def _publish(publisher: Publisher, key: str, household: str | None) -> Receipt:
    if household is None:
        return await publisher.delete(RESIDENCE, key)
    return await publisher.publish(RESIDENCE, {"personal_id": key, "household_no": household})
