"""The kernel queue between HTTP workers and compute processes, by itself."""

from __future__ import annotations

import asyncio
import os
import socket
import threading
from collections.abc import Awaitable, Callable, Iterator

import pytest
from tesseract_core.runtime.serve.dispatch import ComputeDied, QueueDispatcher, QueueFull
from tesseract_core.runtime.serve.queue import INLINE_LIMIT, Job, Message, make_queue

pytestmark = pytest.mark.fast


@pytest.fixture
def queue() -> Iterator[tuple[socket.socket, socket.socket]]:
    sender, receiver = make_queue()
    with sender, receiver:
        yield sender, receiver


def message(head: bytes, *chunks: bytes) -> Message:
    made = Message(head)
    for chunk in chunks:
        made.write(chunk)
    return made


async def stays() -> None:
    """A client that does not leave."""
    await asyncio.Event().wait()


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


@pytest.mark.parametrize("size", [0, 1, INLINE_LIMIT - 4, INLINE_LIMIT - 3, INLINE_LIMIT + 1, 5_000_000])
def test_a_message_arrives_as_it_was_written(queue: tuple[socket.socket, socket.socket], size: int) -> None:
    sender, receiver = queue
    before = open_files()
    body = os.urandom(size)
    sent = message(b"head", body[: size // 3], body[size // 3 :])
    sent.send(sender)
    sent.close()
    received = Message.receive(receiver)
    assert received is not None
    arrived, fds = received
    assert fds == []
    assert (arrived.head(), arrived.body()) == (b"head", body)
    assert b"".join(arrived.body_chunks()) == body
    arrived.close()
    assert open_files() == before


def test_a_large_head_alone_travels_too(queue: tuple[socket.socket, socket.socket]) -> None:
    sender, receiver = queue
    message(b"h" * 300_000, b"body").send(sender)
    received = Message.receive(receiver)
    assert received is not None
    assert received[0].head() == b"h" * 300_000
    assert received[0].body() == b"body"


def test_received_descriptors_do_not_leak_into_child_programs(queue: tuple[socket.socket, socket.socket]) -> None:
    sender, receiver = queue
    mine, theirs = socket.socketpair()
    with mine, theirs:
        message(b"h", b"x" * 2 * INLINE_LIMIT).send(sender, theirs.fileno())
    received = Message.receive(receiver)
    assert received is not None
    arrived, (reply_to,) = received
    assert not os.get_inheritable(reply_to)
    assert not os.get_inheritable(arrived._fd or -1)
    os.close(reply_to)


def test_end_of_queue_when_all_senders_are_gone(queue: tuple[socket.socket, socket.socket]) -> None:
    sender, receiver = queue
    sender.close()
    assert Job.take(receiver) is None


def compute(receiver: socket.socket, work: Callable[[Job], None]) -> threading.Thread:
    """Take jobs in a thread, as a compute process does."""

    def loop() -> None:
        while (job := Job.take(receiver)) is not None:
            if not job.withdrawn():
                work(job)
            job.close()

    thread = threading.Thread(target=loop)
    thread.start()
    return thread


def echo(job: Job) -> None:
    job.reply(message(job.request.head(), job.request.body()))


def test_replies_reach_those_who_asked(queue: tuple[socket.socket, socket.socket]) -> None:
    sender, receiver = queue
    dispatcher = QueueDispatcher(sender, max_pending=2000)
    bodies = [bytes([index % 256]) * (index * 97 % (3 * INLINE_LIMIT)) for index in range(1000)]

    async def ask(body: bytes) -> bytes:
        reply = await dispatcher.dispatch(message(b"h", body), stays)
        assert reply is not None
        return reply.body()

    async def ask_all() -> list[bytes]:
        return await asyncio.gather(*map(ask, bodies))

    before = open_files()
    threads = [compute(receiver, echo) for _ in range(3)]
    assert asyncio.run(ask_all()) == bodies
    assert open_files() == before
    sender.close()
    for thread in threads:
        thread.join()


def test_a_request_taken_by_a_process_that_dies_fails_alone(queue: tuple[socket.socket, socket.socket]) -> None:
    sender, receiver = queue
    dispatcher = QueueDispatcher(sender, max_pending=10)

    def work(job: Job) -> None:
        if job.request.body() != b"crash":
            echo(job)

    async def ask_all() -> list[Message | BaseException | None]:
        asked = (dispatcher.dispatch(message(b"h", body), stays) for body in (b"1", b"crash", b"2"))
        return await asyncio.gather(*asked, return_exceptions=True)

    thread = compute(receiver, work)
    first, crashed, second = asyncio.run(ask_all())
    assert isinstance(crashed, ComputeDied)
    assert isinstance(first, Message)
    assert isinstance(second, Message)
    assert (first.body(), second.body()) == (b"1", b"2")
    sender.close()
    thread.join()


def leaving() -> tuple[Callable[[], Awaitable[None]], asyncio.Event]:
    left = asyncio.Event()

    async def client_left() -> None:
        await left.wait()

    return client_left, left


def test_a_client_that_leaves_withdraws_its_request(queue: tuple[socket.socket, socket.socket]) -> None:
    """Both from the kernel's queue and from the overflow behind it."""
    sender, receiver = queue
    dispatcher = QueueDispatcher(sender, max_pending=2000)
    done: list[bytes] = []

    def work(job: Job) -> None:
        done.append(job.request.body())
        echo(job)

    async def scenario() -> None:
        client_left, left = leaving()
        gone = [asyncio.ensure_future(dispatcher.dispatch(message(b"h", b"gone"), client_left)) for _ in range(800)]
        kept = asyncio.ensure_future(dispatcher.dispatch(message(b"h", b"kept"), stays))
        await asyncio.sleep(0)
        left.set()
        assert await asyncio.gather(*gone) == [None] * 800
        thread = compute(receiver, work)
        reply = await kept
        assert reply is not None
        assert reply.body() == b"kept"
        sender.close()
        thread.join()

    asyncio.run(scenario())
    assert done == [b"kept"]


def test_a_full_queue_refuses_and_recovers(queue: tuple[socket.socket, socket.socket]) -> None:
    sender, receiver = queue
    dispatcher = QueueDispatcher(sender, max_pending=2)

    async def scenario() -> None:
        waiting = [asyncio.ensure_future(dispatcher.dispatch(message(b"h"), stays)) for _ in range(2)]
        await asyncio.sleep(0)
        with pytest.raises(QueueFull):
            await dispatcher.dispatch(message(b"h"), stays)
        thread = compute(receiver, echo)
        await asyncio.gather(*waiting)
        assert await dispatcher.dispatch(message(b"h"), stays) is not None
        sender.close()
        thread.join()

    asyncio.run(scenario())
