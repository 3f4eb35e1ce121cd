"""Wakes the flow that pulls annotations, over Prefect's REST API; the scheduled poll does the same, only later."""

import asyncio
import logging

import httpx

from mema.project import prefect_access

DEPLOYMENT = "annotate-poll/annotate-poll"
INTERVAL_SECONDS = 10.0
TIMEOUT_SECONDS = 5.0
log = logging.getLogger(__name__)


class Waker:
    """Asks for a run at once, then at most one an interval: what came meanwhile shares one at its end."""

    def __init__(self, api_url: str, interval_seconds: float = INTERVAL_SECONDS):
        self._api_url, self._interval_seconds = api_url.rstrip("/"), interval_seconds
        self._task: asyncio.Task[None] | None = None
        self._again = False

    def ask(self) -> None:
        """Ask for a run without waiting for it; to be called in the event loop. Without an address: nothing."""
        if not self._api_url:
            return
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._wake())
        else:
            self._again = True

    async def _wake(self) -> None:
        self._again = True
        while self._again:
            self._again = False
            try:
                await self._run_deployment()
            except (httpx.HTTPError, httpx.InvalidURL, ValueError, KeyError, TypeError) as error:
                reason = str(error).split("\n")[0] or type(error).__name__
                log.warning("webhook: could not wake %s, the poll will: %s", DEPLOYMENT, reason)
            await asyncio.sleep(self._interval_seconds)

    async def _run_deployment(self) -> None:
        async with httpx.AsyncClient(timeout=TIMEOUT_SECONDS, headers=prefect_access.headers()) as client:
            found = await client.get(f"{self._api_url}/deployments/name/{DEPLOYMENT}")
            deployment = found.raise_for_status().json()["id"]
            run = await client.post(f"{self._api_url}/deployments/{deployment}/create_flow_run", json={})
            run.raise_for_status()
        log.info("webhook: woke %s", DEPLOYMENT)
