"""A destination that owes an answer in phase 1, and gives none.

hybrid-peer-timeout ends the wait for each of them; the guest stays.

SPDX-License-Identifier: GPL-2.0-or-later
"""
import contextlib
import socket
import struct
import threading

from common import check, equal
from hybridmig.migrate import SRC_CAPABILITIES
from machines import machines

TIMEOUT = 1000
#: A PING of the stream, a PONG of the return path.
PING = b'\x08\x00\x02\x00\x04'
PONG = struct.Struct('>HHI')
#: The values of the hello, its answer, and the probes, which count from there.
HELLO, ACK, RTT = 0x48794201, 0x48794281, 0x48795200


@contextlib.contextmanager
def _answering(path, answer):
    """answer(value of a PING): the value of its PONG, or None."""
    def serve():
        with contextlib.suppress(OSError):
            peer, _ = listener.accept()
            seen, at = b'', 0
            with peer:
                while more := peer.recv(1 << 16):
                    seen += more
                    while (found := seen.find(PING, at)) >= 0 and \
                            len(seen) >= found + 9:
                        at = found + 9
                        value = struct.unpack('>I', seen[at - 4:at])[0]
                        if (pong := answer(value)) is not None:
                            peer.sendall(PONG.pack(2, 4, pong))

    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen(1)
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


def no_answer_in_phase_1(logs):
    missing = {
        'hello': lambda value: None,
        'first probe': {HELLO: ACK}.get,
        'first probe, of an older one': {HELLO: HELLO}.get,
        'second probe': {HELLO: ACK, RTT | 1: RTT | 1}.get,
        'settings': lambda value: ACK if value == HELLO else value,
    }
    for name, answer in missing.items():
        with machines(logs) as pair:
            path = f'{pair.run.folder}/silent.sock'
            src = pair.src
            src.set_capabilities(SRC_CAPABILITIES)
            src.set_parameters({'hybrid-peer-timeout': TIMEOUT})
            with _answering(path, answer):
                src.qmp('migrate', {'uri': f'unix:{path}'})
                try:
                    equal(pair.wait('failed', timeout=20), 'failed', name)
                finally:
                    # Whose connection the other thread reads
                    src.qmp('migrate_cancel')
            error = src.qmp('query-migrate')['error-desc']
            check(f'hybrid-peer-timeout ({TIMEOUT} ms)' in error,
                  f'{name}: the error says {error}')
            equal(src.wait_status('running'), 'running', 'the source')


CASES = {'no-answer-in-phase-1': no_answer_in_phase_1}
